// legal-cppdisk: a plugin in C++. A handle is an object; no exception leaves a
// callback, for between C functions that would end the server.
#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <string_view>
#include <vector>

#define THREAD_MODEL NBDKIT_THREAD_MODEL_PARALLEL

namespace {

class Disk {
 public:
  explicit Disk(std::size_t size) : bytes_(size) {}

  [[nodiscard]] std::int64_t size() const { return static_cast<std::int64_t>(bytes_.size()); }

  void read(std::uint8_t* to, std::uint32_t count, std::uint64_t offset) const {
    const std::shared_lock lock(mutex_);
    std::copy_n(at(offset), count, to);
  }

  void write(const std::uint8_t* from, std::uint32_t count, std::uint64_t offset) {
    const std::unique_lock lock(mutex_);
    std::copy_n(from, count, bytes_.begin() + static_cast<std::ptrdiff_t>(offset));
  }

  void zero(std::uint32_t count, std::uint64_t offset) {
    const std::unique_lock lock(mutex_);
    std::fill_n(bytes_.begin() + static_cast<std::ptrdiff_t>(offset), count, std::uint8_t{0});
  }

 private:
  [[nodiscard]] std::vector<std::uint8_t>::const_iterator at(std::uint64_t offset) const {
    return bytes_.begin() + static_cast<std::ptrdiff_t>(offset);
  }

  mutable std::shared_mutex mutex_;
  std::vector<std::uint8_t> bytes_;
};

struct Handle {
  Disk& disk;
};

std::int64_t configured_size = 1024 * 1024;
std::unique_ptr<Disk> the_disk;

// Runs a callback's body; an exception becomes nbdkit's way of failing.
template <typename Body, typename Failure>
auto guarded(Failure failure, Body body) noexcept -> Failure {
  try {
    return body();
  } catch (const std::bad_alloc&) {
    nbdkit_error("out of memory");
    nbdkit_set_error(ENOMEM);
  } catch (const std::exception& e) {
    nbdkit_error("%s", e.what());
    nbdkit_set_error(EIO);
  }
  return failure;
}

int config(const char* key, const char* value) {
  if (key != std::string_view("size")) {
    nbdkit_error("unknown parameter '%s'", key);
    return -1;
  }
  const std::int64_t size = nbdkit_parse_size(value);
  if (size == -1) return -1;
  configured_size = size;
  return 0;
}

int get_ready() {
  return guarded(-1, [] {
    the_disk = std::make_unique<Disk>(static_cast<std::size_t>(configured_size));
    return 0;
  });
}

void unload() { the_disk.reset(); }

void* open(int /*readonly*/) {
  return guarded(static_cast<void*>(nullptr),
                 []() -> void* { return std::make_unique<Handle>(Handle{*the_disk}).release(); });
}

void close(void* handle) { std::unique_ptr<Handle>(static_cast<Handle*>(handle)).reset(); }

Disk& disk_of(void* handle) { return static_cast<Handle*>(handle)->disk; }

int pread(void* handle, void* buf, std::uint32_t count, std::uint64_t offset, std::uint32_t) {
  return guarded(-1, [&] {
    disk_of(handle).read(static_cast<std::uint8_t*>(buf), count, offset);
    return 0;
  });
}

int pwrite(void* handle, const void* buf, std::uint32_t count, std::uint64_t offset,
           std::uint32_t) {
  return guarded(-1, [&] {
    disk_of(handle).write(static_cast<const std::uint8_t*>(buf), count, offset);
    return 0;
  });
}

int zero(void* handle, std::uint32_t count, std::uint64_t offset, std::uint32_t) {
  return guarded(-1, [&] {
    disk_of(handle).zero(count, offset);
    return 0;
  });
}

// The order of the fields is nbdkit's business: assign them by name.
nbdkit_plugin make_plugin() {
  nbdkit_plugin p{};
  p.name = "legal-cppdisk";
  p.version = "0.1.0";
  p.unload = unload;
  p.config = config;
  p.config_help = "size=<SIZE>  Size of the disk (default 1M).";
  p.magic_config_key = "size";
  p.get_ready = get_ready;
  p.open = open;
  p.close = close;
  p.get_size = [](void* handle) { return disk_of(handle).size(); };
  p.can_multi_conn = [](void*) { return 1; };
  p.pread = pread;
  p.pwrite = pwrite;
  p.flush = [](void*, std::uint32_t) { return 0; };
  p.zero = zero;
  return p;
}

nbdkit_plugin plugin = make_plugin();

}  // namespace

NBDKIT_REGISTER_PLUGIN(plugin)
