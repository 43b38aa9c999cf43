// cxx-model-*: the least a writable plugin needs, once for each thread model.
//
//   nbdkit ./cxx-model-parallel.so size=16M
//
// MODEL is one of the NBDKIT_THREAD_MODEL_* values and MODEL_NAME the plugin's name; the build
// defines both. What changes is only whether the plugin must lock for itself
// (nbdkit-plugin(3) "Threads"): not to lock, where nbdkit does, is the point of the stricter ones.
#include "nbdkit.hpp"

#include <algorithm>
#include <mutex>
#include <type_traits>
#include <vector>

namespace {

struct NoMutex {
  void lock() {}
  void unlock() {}
};

// SERIALIZE_REQUESTS keeps one connection's requests apart, not those of two.
constexpr bool needs_lock = MODEL >= NBDKIT_THREAD_MODEL_SERIALIZE_REQUESTS;
std::conditional_t<needs_lock, std::mutex, NoMutex> mutex;

std::int64_t configured_size = 1024 * 1024;
std::vector<std::byte> disk;

struct Model {
  static constexpr const char* name = MODEL_NAME;
  static constexpr const char* version = "0.1.0";
  static constexpr const char* config_help = "size=<SIZE>  Size of the disk (default 1M).";
  static constexpr const char* magic_config_key = "size";
  static constexpr int thread_model = MODEL;

  static void config(const std::string& key, const char* value) {
    if (key != "size") throw nbdkit::Error(EINVAL, "unknown parameter '" + key + "'");
    configured_size = nbdkit::parse_size(value);
  }

  static void get_ready() { disk.resize(static_cast<std::size_t>(configured_size)); }

  static void unload() {
    disk.clear();
    disk.shrink_to_fit();
  }

  explicit Model(bool /*readonly*/) {}

  static std::int64_t get_size() { return configured_size; }

  static void pread(std::span<std::byte> to, std::uint64_t offset) {
    const std::lock_guard lock(mutex);
    std::copy_n(disk.data() + offset, to.size(), to.data());
  }

  static void pwrite(std::span<const std::byte> from, std::uint64_t offset,
                     std::uint32_t /*flags*/) {
    const std::lock_guard lock(mutex);
    std::copy_n(from.data(), from.size(), disk.data() + offset);
  }
};

}  // namespace

NBDKIT_CXX_PLUGIN(Model)
