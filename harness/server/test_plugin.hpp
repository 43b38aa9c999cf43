// A plugin for the server's tests: it does what the test tells it, and writes
// down how it was called.
#pragma once

#include <nbdkit-plugin.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <ostream>
#include <set>
#include <string>
#include <vector>

#include "nbdcheck/server.hpp"

namespace nbdcheck {
// For GoogleTest's messages.
inline void PrintTo(IncidentKind kind, std::ostream* out) { *out << name(kind); }
}  // namespace nbdcheck

namespace nbdcheck::test {

using Words = std::vector<std::string>;
using Incidents = std::vector<IncidentKind>;

struct Script {
  // What callbacks return; if absent can_* say 1 and the others 0.  For .open
  // and the callbacks that return a string, -1 stands for NULL.
  std::map<Callback, std::int64_t> returns;
  std::map<Callback, int> sets_error;  // calls nbdkit_set_error
  std::map<Callback, int> sets_errno;
  std::set<Callback> silent;  // fail without nbdkit_error
  std::int64_t size = 1 << 20;
  std::string text = "text";  // of the callbacks that return one
  BlockSize block_size{512, 4096, 1 << 20};

  // Called within each callback.
  std::function<void(Callback)> during;
  std::function<void(std::byte*, std::uint32_t)> fill;        // .pread; absent: zeroes
  std::function<void(const std::byte*, std::uint32_t)> take;  // .pwrite
  std::function<void(nbdkit_extents*, std::uint32_t, std::uint64_t)> extents;
  std::function<void(nbdkit_exports*)> exports;
};

extern Script script;
// What plugin_init hands out; reset() makes it one with the required callbacks.
extern PluginStruct table;

// Starts afresh.
void reset();
// Fills in the callback, so that it follows the script.
void add(Callback callback);
void add_all();
void* plugin_init();

// Calls so far, with their arguments: "pwrite 512 0 fua".
Words take_log();

class Recorder final : public Observer {
 public:
  void on_error(Callback where, std::string_view message) override;
  void on_debug(Callback where, std::string_view message) override;
  void on_incident(const Incident& incident) override;
  void on_call(Callback callback) override;
  void on_return(Callback callback, long long value) override;

  [[nodiscard]] Incidents incidents();
  [[nodiscard]] Words errors();
  [[nodiscard]] Words trace();  // ">open", "<open 1"
  void clear();

 private:
  std::mutex mutex_;
  std::vector<IncidentKind> incidents_;
  std::vector<std::string> errors_;
  std::vector<std::string> trace_;
};

// A server with the table loaded, configured and started.
struct Running {
  explicit Running(ServerOptions options = {});
  Connection& open(const std::string& name = "");  // connects and opens

  Recorder recorder;
  std::unique_ptr<Server> server;
  std::vector<std::unique_ptr<Connection>> connections;
};

}  // namespace nbdcheck::test
