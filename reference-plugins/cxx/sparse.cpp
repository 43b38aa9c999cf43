// cxx-sparse: a disk in memory that allocates where it is written; up to 2^63-1 bytes.
//
//   nbdkit ./cxx-sparse.so size=1E
//
// A map has the chunks that were written. Its lock guards their contents, too: simple, and reads
// still run together. A chunk is absent (a hole), there without data (allocated zeroes, what
// .zero without MAY_TRIM leaves), or there with data.
#include "nbdkit.hpp"

#include <algorithm>
#include <map>
#include <mutex>
#include <shared_mutex>

namespace {

constexpr std::uint64_t chunk_size = 64 * 1024;

using Data = std::unique_ptr<std::byte[]>;  // null: zeroes

std::int64_t configured_size = -1;
std::shared_mutex mutex;
std::map<std::uint64_t, Data> chunks;  // guarded by mutex

// Calls each(chunk, at, length) for the parts of a request.
template <typename Each>
void for_each_piece(std::uint64_t offset, std::uint64_t count, Each each) {
  while (count > 0) {
    const std::uint64_t at = offset % chunk_size;
    const std::uint64_t length = std::min(count, chunk_size - at);
    each(offset / chunk_size, at, length);
    offset += length;
    count -= length;
  }
}

std::byte* data_of(std::uint64_t chunk) {
  Data& data = chunks[chunk];
  if (!data) data = std::make_unique<std::byte[]>(chunk_size);
  return data.get();
}

bool is_whole(std::uint64_t chunk, std::uint64_t length) {
  return length ==
         std::min(chunk_size, static_cast<std::uint64_t>(configured_size) - chunk * chunk_size);
}

std::uint32_t type_of(const Data& data) { return data ? 0 : NBDKIT_EXTENT_ZERO; }

class Sparse {
 public:
  static constexpr const char* name = "cxx-sparse";
  static constexpr const char* longname = "nbdcheck reference sparse disk in C++";
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

  static void unload() { chunks.clear(); }

  explicit Sparse(bool /*readonly*/) {}

  static std::int64_t get_size() { return configured_size; }
  static bool can_multi_conn() { return true; }
  static int can_fua() { return NBDKIT_FUA_NATIVE; }
  static bool can_fast_zero() { return true; }

  static void pread(std::span<std::byte> to, std::uint64_t offset) {
    const std::shared_lock lock(mutex);
    std::byte* next = to.data();
    for_each_piece(offset, to.size(), [&](std::uint64_t chunk, std::uint64_t at, std::uint64_t n) {
      const auto found = chunks.find(chunk);
      if (found != chunks.end() && found->second)
        std::copy_n(found->second.get() + at, n, next);
      else
        std::fill_n(next, n, std::byte{0});
      next += n;
    });
  }

  static void pwrite(std::span<const std::byte> from, std::uint64_t offset,
                     std::uint32_t /*flags*/) {
    const std::unique_lock lock(mutex);
    const std::byte* next = from.data();
    for_each_piece(offset, from.size(),
                   [&](std::uint64_t chunk, std::uint64_t at, std::uint64_t n) {
                     std::copy_n(next, n, data_of(chunk) + at);
                     next += n;
                   });
  }

  static void flush() {}

  // What is asked for in one request may be 65536 chunks; those that are holes cost nothing.
  static void trim(std::uint32_t count, std::uint64_t offset, std::uint32_t /*flags*/) {
    const std::unique_lock lock(mutex);
    clear(count, offset);
  }

  static void zero(std::uint32_t count, std::uint64_t offset, std::uint32_t flags) {
    const std::unique_lock lock(mutex);
    if (flags & NBDKIT_FLAG_MAY_TRIM) {
      clear(count, offset);
      return;
    }
    for_each_piece(offset, count, [&](std::uint64_t chunk, std::uint64_t at, std::uint64_t n) {
      Data& data = chunks[chunk];
      if (is_whole(chunk, n))
        data.reset();
      else if (data)
        std::fill_n(data.get() + at, n, std::byte{0});
    });
  }

  static void extents(std::uint32_t count, std::uint64_t offset, std::uint32_t flags,
                      nbdkit::Extents& list) {
    const std::shared_lock lock(mutex);
    const std::uint64_t end = offset + count;
    auto next = chunks.lower_bound(offset / chunk_size);
    for (std::uint64_t at = offset / chunk_size * chunk_size; at < end;) {
      const std::uint64_t begin = at;
      std::uint32_t type = NBDKIT_EXTENT_HOLE | NBDKIT_EXTENT_ZERO;
      if (next == chunks.end()) {
        at = end;
      } else if (next->first * chunk_size > at) {
        at = next->first * chunk_size;
      } else {
        type = type_of(next->second);
        while (next != chunks.end() && next->first * chunk_size == at &&
               type_of(next->second) == type) {
          at += chunk_size;
          ++next;
        }
      }
      list.add(begin, at - begin, type);
      if (flags & NBDKIT_FLAG_REQ_ONE) return;
    }
  }

 private:
  // The lock is held. Goes from one chunk that is there to the next.
  static void clear(std::uint64_t count, std::uint64_t offset) {
    const std::uint64_t end = offset + count;
    auto next = chunks.lower_bound(offset / chunk_size);
    while (next != chunks.end() && next->first * chunk_size < end) {
      const std::uint64_t start = next->first * chunk_size;
      const std::uint64_t from = std::max(offset, start);
      const std::uint64_t length = std::min(end, start + chunk_size) - from;
      if (is_whole(next->first, length)) {
        next = chunks.erase(next);
        continue;
      }
      if (next->second) std::fill_n(next->second.get() + (from - start), length, std::byte{0});
      ++next;
    }
  }
};

}  // namespace

NBDKIT_CXX_PLUGIN(Sparse)
