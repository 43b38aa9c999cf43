// cxx-exports: several disks in memory; which of them a connection serves its export name says.
//
//   nbdkit ./cxx-exports.so export=root:16M description="system disk" export=swap:1M
//
// The first export is the default one, which a client that names none gets.
#include "nbdkit.hpp"

#include <algorithm>
#include <deque>
#include <mutex>
#include <utility>
#include <vector>

namespace {

struct Export {
  Export(std::string export_name, std::int64_t export_size)
      : name(std::move(export_name)), size(export_size) {}

  std::string name;
  std::int64_t size;
  const char* description = nullptr;  // the parameter's value, which outlives us
  std::vector<std::byte> bytes;
  std::mutex mutex;  // the thread model only serialises within a connection
};

std::deque<Export> exports;  // elements stay where they are

Export* find(const std::string& name) {
  const auto found =
      std::find_if(exports.begin(), exports.end(), [&](const Export& e) { return e.name == name; });
  return found == exports.end() ? nullptr : &*found;
}

[[noreturn]] void refuse(const std::string& why) { throw nbdkit::Error(EINVAL, why); }

// NAME:SIZE. The name may itself have colons.
void add(const std::string& value) {
  const std::size_t colon = value.rfind(':');
  const std::string name = value.substr(0, colon);
  if (colon == std::string::npos || name.empty() || name.size() > 255)
    refuse("export=" + value + ": expected NAME:SIZE, the name of 1 to 255 bytes");
  if (find(name)) refuse("export=" + value + ": the name is given twice");
  const std::int64_t size = nbdkit::parse_size(value.c_str() + colon + 1);
  exports.emplace_back(name, size);
}

class Connection {
 public:
  static constexpr const char* name = "cxx-exports";
  static constexpr const char* longname = "nbdcheck reference plugin with several exports in C++";
  static constexpr const char* version = "0.1.0";
  static constexpr const char* config_help =
      "export=<NAME>:<SIZE>  (required, repeatable) A disk; the first is the default.\n"
      "description=<TEXT>    What the export before it is.";
  static constexpr int thread_model = NBDKIT_THREAD_MODEL_SERIALIZE_REQUESTS;

  static void config(const std::string& key, const char* value) {
    if (key == "export") {
      add(value);
    } else if (key == "description") {
      if (exports.empty()) refuse("description: there is no export before it to describe");
      exports.back().description = value;
    } else {
      refuse("unknown parameter '" + key + "'");
    }
  }

  static void config_complete() {
    if (exports.empty()) refuse("at least one export=NAME:SIZE is required");
  }

  static void get_ready() {
    for (Export& e : exports) e.bytes.resize(static_cast<std::size_t>(e.size));
  }

  static void unload() { exports.clear(); }

  static void list_exports(bool /*readonly*/, bool /*is_tls*/, nbdkit::Exports& list) {
    for (const Export& e : exports) list.add(e.name, e.description);
  }

  static const char* default_export(bool /*readonly*/, bool /*is_tls*/) {
    return exports.front().name.c_str();
  }

  // The name comes from the client: compare it, never trust it.
  explicit Connection(bool /*readonly*/) {
    const char* wanted = nbdkit_export_name();
    if (!wanted) throw nbdkit::Reported();
    export_ = find(wanted);
    if (!export_) refuse("there is no export of the name the client asked for");
  }

  [[nodiscard]] std::int64_t get_size() const { return export_->size; }
  [[nodiscard]] const char* export_description() const { return export_->description; }
  static bool can_multi_conn() { return true; }

  void pread(std::span<std::byte> to, std::uint64_t offset) {
    const std::lock_guard lock(export_->mutex);
    std::copy_n(export_->bytes.data() + offset, to.size(), to.data());
  }

  void pwrite(std::span<const std::byte> from, std::uint64_t offset, std::uint32_t /*flags*/) {
    const std::lock_guard lock(export_->mutex);
    std::copy_n(from.data(), from.size(), export_->bytes.data() + offset);
  }

  void flush() {}

 private:
  Export* export_;
};

}  // namespace

NBDKIT_CXX_PLUGIN(Connection)
