// cxx-ramdisk: one disk in memory, shared by all connections, fully parallel.
//
//   nbdkit ./cxx-ramdisk.so size=1G
//
// The disk consists of chunks that are allocated when they are first written. A fixed number of
// locks ("stripes") guards them, and no operation holds two, so there is no order to get wrong.
// A request over several chunks is not atomic as a whole, which NBD does not ask for.
#include "nbdkit.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <mutex>
#include <shared_mutex>
#include <vector>

namespace {

constexpr std::uint64_t chunk_size = 64 * 1024;
constexpr std::size_t stripes = 64;

std::int64_t configured_size = -1;

// The part of a request that lies in one chunk.
struct Piece {
  std::uint64_t chunk;
  std::size_t at, length;
};

template <typename Each>
void for_each_piece(std::uint64_t offset, std::uint64_t count, Each each) {
  while (count > 0) {
    const std::uint64_t at = offset % chunk_size;
    const std::uint64_t length = std::min(count, chunk_size - at);
    each(Piece{offset / chunk_size, at, length});
    offset += length;
    count -= length;
  }
}

class Disk {
 public:
  explicit Disk(std::uint64_t size) : size_(size), chunks_((size + chunk_size - 1) / chunk_size) {}

  void read(std::byte* to, Piece p) const {
    const std::shared_lock lock(lock_of(p.chunk));
    const auto& chunk = chunks_[p.chunk];
    if (chunk)
      std::copy_n(chunk.get() + p.at, p.length, to);
    else
      std::fill_n(to, p.length, std::byte{0});
  }

  void write(const std::byte* from, Piece p) {
    const std::unique_lock lock(lock_of(p.chunk));
    std::copy_n(from, p.length, allocated(p.chunk) + p.at);
  }

  // Without may_punch the piece stays allocated.
  void clear(Piece p, bool may_punch) {
    const std::unique_lock lock(lock_of(p.chunk));
    const std::uint64_t begin = p.chunk * chunk_size;
    const bool whole = p.length == std::min(chunk_size, size_ - begin);
    if (may_punch && whole)
      chunks_[p.chunk].reset();
    else if (chunks_[p.chunk] || !may_punch)
      std::fill_n(allocated(p.chunk) + p.at, p.length, std::byte{0});
  }

  [[nodiscard]] bool is_hole(std::uint64_t chunk) const {
    const std::shared_lock lock(lock_of(chunk));
    return !chunks_[chunk];
  }

 private:
  std::byte* allocated(std::uint64_t chunk) {
    if (!chunks_[chunk]) chunks_[chunk] = std::make_unique<std::byte[]>(chunk_size);
    return chunks_[chunk].get();
  }

  std::shared_mutex& lock_of(std::uint64_t chunk) const { return locks_[chunk % stripes]; }

  std::uint64_t size_;
  std::vector<std::unique_ptr<std::byte[]>> chunks_;
  mutable std::array<std::shared_mutex, stripes> locks_;
};

std::unique_ptr<Disk> the_disk;

class RamDisk {
 public:
  static constexpr const char* name = "cxx-ramdisk";
  static constexpr const char* longname = "nbdcheck reference RAM disk in C++";
  static constexpr const char* version = "0.1.0";
  static constexpr const char* config_help = "size=<SIZE>  (required) Size of the disk.";
  static constexpr const char* magic_config_key = "size";
  static constexpr int thread_model = NBDKIT_THREAD_MODEL_PARALLEL;

  static void config(const std::string& key, const char* value) {
    if (key != "size") throw nbdkit::Error(EINVAL, "unknown parameter '" + key + "'");
    configured_size = nbdkit::parse_size(value);
  }

  static void config_complete() {
    if (configured_size == -1)
      throw nbdkit::Error(EINVAL, "the size parameter is required: how large shall it be?");
  }

  static void get_ready() {
    the_disk = std::make_unique<Disk>(static_cast<std::uint64_t>(configured_size));
  }

  static void dump_plugin() { std::printf("cxx_ramdisk_chunk=%d\n", static_cast<int>(chunk_size)); }

  static void unload() { the_disk.reset(); }

  explicit RamDisk(bool /*readonly*/) : disk_(*the_disk) {}

  static std::int64_t get_size() { return configured_size; }

  // Nothing is kept for one connection, and memory is as stable as this disk gets.
  static bool can_multi_conn() { return true; }
  static int can_fua() { return NBDKIT_FUA_NATIVE; }
  static int can_cache() { return NBDKIT_CACHE_NATIVE; }
  static bool can_fast_zero() { return true; }

  void pread(std::span<std::byte> to, std::uint64_t offset) {
    std::byte* next = to.data();
    for_each_piece(offset, to.size(), [&](Piece p) {
      disk_.read(next, p);
      next += p.length;
    });
  }

  void pwrite(std::span<const std::byte> from, std::uint64_t offset, std::uint32_t /*flags*/) {
    const std::byte* next = from.data();
    for_each_piece(offset, from.size(), [&](Piece p) {
      disk_.write(next, p);
      next += p.length;
    });
  }

  void flush() {}

  void trim(std::uint32_t count, std::uint64_t offset, std::uint32_t /*flags*/) {
    for_each_piece(offset, count, [&](Piece p) { disk_.clear(p, true); });
  }

  void zero(std::uint32_t count, std::uint64_t offset, std::uint32_t flags) {
    const bool may_punch = (flags & NBDKIT_FLAG_MAY_TRIM) != 0;
    for_each_piece(offset, count, [&](Piece p) { disk_.clear(p, may_punch); });
  }

  // nbdkit-plugin(3) ".cache": fail on flags that are not known.
  static void cache(std::uint32_t /*count*/, std::uint64_t /*offset*/, std::uint32_t flags) {
    if (flags != 0) throw nbdkit::Error(EINVAL, "cache: unknown flags");
  }

  void extents(std::uint32_t count, std::uint64_t offset, std::uint32_t flags,
               nbdkit::Extents& list) {
    const std::uint64_t past = (offset + count + chunk_size - 1) / chunk_size;
    for (std::uint64_t first = offset / chunk_size, end = first; first < past; first = end) {
      const bool hole = disk_.is_hole(first);
      do ++end;
      while (end < past && disk_.is_hole(end) == hole);
      list.add(first * chunk_size, (end - first) * chunk_size,
               hole ? NBDKIT_EXTENT_HOLE | NBDKIT_EXTENT_ZERO : 0);
      if (flags & NBDKIT_FLAG_REQ_ONE) break;
    }
  }

 private:
  Disk& disk_;
};

}  // namespace

NBDKIT_CXX_PLUGIN(RamDisk)
