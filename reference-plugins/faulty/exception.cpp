// faulty-exception: exceptions that leave callbacks. Between C functions there is no way for them,
// and the server ends.
//
//   read      a page that cannot be read is told by an exception
//   open      an export that there is not is looked up with at()
//   drop      a destructor throws when the connection is closed
//
// With fault=none the same exceptions become errors (cxx/nbdkit.hpp), and the destructor does not
// throw.
#include "../cxx/nbdkit.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <string_view>
#include <vector>

namespace {

constexpr std::uint64_t bad_begin = 64 * 4096, bad_end = 65 * 4096;
constexpr std::array<std::string_view, 4> faults{"none", "read", "open", "drop"};

std::string_view fault = "none";
std::int64_t configured_size = 1024 * 1024;
std::vector<std::byte> disk;
const std::map<std::string, int, std::less<>> export_numbers{{"", 0}};

class Connection {
 public:
  static constexpr const char* name = "faulty-exception";
  static constexpr const char* version = "1";
  static constexpr const char* config_help =
      "size=<SIZE>   Size of the disk (default 1M).\n"
      "fault=<NAME>  Which fault to have (default none).";
  static constexpr int thread_model = NBDKIT_THREAD_MODEL_SERIALIZE_ALL_REQUESTS;

  static void config(const std::string_view key, const char* value) {
    if (key == "size") {
      configured_size = nbdkit::parse_size(value);
    } else if (key == "fault") {
      const auto* known = std::find(faults.begin(), faults.end(), value);
      if (known == faults.end()) throw nbdkit::Error(EINVAL, "there is no such fault");
      fault = *known;
    } else {
      throw nbdkit::Error(EINVAL, "unknown parameter '" + std::string(key) + "'");
    }
  }

  static void get_ready() { disk.resize(static_cast<std::size_t>(configured_size)); }

  explicit Connection(bool /*readonly*/) {
    const char* wanted = nbdkit_export_name();
    if (!wanted) throw nbdkit::Reported();
    number_ = export_numbers.at(wanted);
  }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  ~Connection() noexcept(false) {
    if (fault == "drop") throw std::runtime_error("the connection has been closed");
  }

  static std::int64_t get_size() { return configured_size; }
  static bool can_multi_conn() { return true; }

  static void pread(std::span<std::byte> to, std::uint64_t offset) {
    if (offset < bad_end && bad_begin < offset + to.size())
      throw std::runtime_error("the page cannot be read");
    std::copy_n(disk.data() + offset, to.size(), to.data());
  }

  static void pwrite(std::span<const std::byte> from, std::uint64_t offset,
                     std::uint32_t /*flags*/) {
    std::copy_n(from.data(), from.size(), disk.data() + offset);
  }

  [[nodiscard]] int number() const { return number_; }

 private:
  int number_ = 0;
};

void* (*guarded_open)(int);
int (*guarded_pread)(void*, void*, std::uint32_t, std::uint64_t, std::uint32_t);

// The callbacks as they are without anybody who catches.
nbdkit_plugin make_plugin() {
  nbdkit_plugin p = nbdkit::make_plugin<Connection>();
  guarded_open = p.open;
  guarded_pread = p.pread;
  p.open = [](int readonly) -> void* {
    return fault == "open" ? new Connection(readonly != 0) : guarded_open(readonly);
  };
  p.pread = [](void* h, void* buf, std::uint32_t count, std::uint64_t offset,
               std::uint32_t flags) -> int {
    if (fault != "read") return guarded_pread(h, buf, count, offset, flags);
    Connection::pread({static_cast<std::byte*>(buf), count}, offset);
    return 0;
  };
  return p;
}

}  // namespace

extern "C" __attribute__((visibility("default"))) nbdkit_plugin* plugin_init() {
  static nbdkit_plugin plugin = make_plugin();
  return &plugin;
}
