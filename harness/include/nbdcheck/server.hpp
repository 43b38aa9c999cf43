// An nbdkit server without a network.  It takes one plugin through the life of
// a real server, in the order nbdkit has ("nbdkit-plugin(3) WRITING AN NBDKIT
// PLUGIN"), and hands out connections.
//
//   NullObserver observer;
//   auto server = Server::load("./libmyplugin.so", {}, observer);     // plugin_init, .load
//   server->configure({"size=1M"});       // .config, .config_complete, .thread_model
//   server->start();                      // .get_ready, .after_fork
//   auto connection = server->connect();  // .preconnect
//   connection->open("");                 // .open, .get_size, .can_*
//   connection->read(buffer, 0);          // .pread
//   connection->close();                  // .close
//   server->stop();                       // .cleanup, .unload
//
// One server at a time per process: the nbdkit_* functions that the plugin
// calls must find it.  The caller's threads are the server's threads: each
// call runs its callbacks on the thread that makes it, so give every
// connection a thread of its own, as nbdkit does.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <tl/expected.hpp>
#include <vector>

#include "nbdcheck/connection.hpp"
#include "nbdcheck/observer.hpp"
#include "nbdcheck/plugin.hpp"
#include "nbdcheck/types.hpp"

namespace nbdcheck {

struct ServerOptions {
  bool readonly = false;                      // nbdkit -r
  bool verbose = false;                       // nbdkit -v: nbdkit_debug reaches the observer
  bool single = false;                        // nbdkit -s: nbdkit_stdio_safe() is 0 throughout
  bool trace = false;                         // call Observer::on_call and on_return
  std::vector<std::string> debug_flags = {};  // values of nbdkit -D: "NAME.FLAG=N"
  // Strings interned for a connection become inaccessible when it ends, and
  // those that the plugin returns are read after free memory was written over.
  bool guard_strings = false;
  std::size_t host_struct_size = sizeof(PluginStruct);
  std::string plugin_dir = default_plugin_dir();
  // For a plugin of which one knows that .open waits there until another handle is
  // closed: with so many of them .open is not called, and the client refused.  0: no limit.
  unsigned most_handles = 0;
  // Redirect fds 0 and 1 to /dev/null between get_ready and after_fork, as
  // nbdkit does.  Off for a server inside somebody's own test program.
  bool redirect_stdio = false;
};

class Server {
 public:
  // Resolves the name, loads, registers, applies -D flags and calls .load.
  static tl::expected<std::unique_ptr<Server>, LoadFailure> load(const std::string& plugin,
                                                                 ServerOptions options,
                                                                 Observer& observer);
  // A plugin linked into this program.
  static tl::expected<std::unique_ptr<Server>, LoadFailure> adopt(Plugin::InitFunction plugin_init,
                                                                  ServerOptions options,
                                                                  Observer& observer);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  [[nodiscard]] const Plugin& plugin() const;
  [[nodiscard]] const ServerOptions& options() const;

  // --- configuration -------------------------------------------------------
  // All of it: config(), config_complete(), resolve_thread_model().
  tl::expected<void, Failure> configure(std::span<const std::string> arguments);

  // One .config call per argument; bare arguments by magic_config_key or, in
  // first place, as "script".  With no .config any argument is a failure.
  tl::expected<void, Failure> config(std::span<const std::string> arguments);
  tl::expected<void, Failure> config_complete();
  // min(static, .thread_model()); fixed for the life of the server.
  tl::expected<ThreadModel, Failure> resolve_thread_model();
  [[nodiscard]] ThreadModel thread_model() const;

  // What `nbdkit --dump-plugin PLUGIN ARGS` runs and prints (key=value lines,
  // the plugin's own .dump_plugin output included): load, config,
  // thread_model, dump_plugin; never config_complete.  stdout is captured
  // through a temporary file.  Call on a freshly loaded server.
  tl::expected<std::string, Failure> dump_plugin(std::span<const std::string> arguments);

  // --- serving -------------------------------------------------------------
  tl::expected<void, Failure> get_ready();
  tl::expected<void, Failure> after_fork();
  tl::expected<void, Failure> start();  // both; no fork

  // Accepts a connection: the connection lock where the model has one, then
  // .preconnect, on the calling thread.
  tl::expected<std::unique_ptr<Connection>, Failure> connect();

  // nbdkit_shutdown or SIGTERM: no new connections, later requests get
  // ESHUTDOWN, nbdkit_nanosleep returns, .close is no longer called.
  void shutdown();
  [[nodiscard]] bool shutting_down() const;

  // --- the end -------------------------------------------------------------
  void cleanup();  // .cleanup; all connections must be gone
  void unload();   // .unload, dlclose
  void stop();     // both

  struct Impl;
  [[nodiscard]] Impl& impl() { return *impl_; }

 private:
  explicit Server(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// Splits `nbdkit PLUGIN ...` parameters as nbdkit does: key=value iff the part
// before the first '=' matches [A-Za-z][A-Za-z0-9._-]*.
struct Parameter {
  bool bare;
  std::string key;  // empty when bare
  std::string value;
};
Parameter parse_parameter(const std::string& argument);

// The observer that looks away.
class NullObserver final : public Observer {};

}  // namespace nbdcheck
