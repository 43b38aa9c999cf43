// The server's state, and what its files share.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "api/host.hpp"
#include "nbdcheck/server.hpp"
#include "server/gate.hpp"
#include "server/interned.hpp"
#include "server/parameters.hpp"
#include "server/thread_context.hpp"

namespace nbdcheck {

struct Server::Impl final : Host {
  // The stages of nbdkit-plugin(3) "Callback lifecycle".
  enum class Stage { loaded, complete, ready, serving, cleaned_up, unloaded, failed };

  Impl(ServerOptions server_options, Observer& server_observer);
  ~Impl() override;

  // --- Host: what the nbdkit_* functions ask for (host.cpp) ------------------
  void error(std::string_view text) override;
  void debug(std::string_view text) override;
  [[nodiscard]] bool verbose() const override { return options.verbose; }
  void incident(IncidentKind kind, std::string text) override;
  void set_error(int error) override;
  const char* export_name() override;
  int is_tls() override;
  [[nodiscard]] bool has_connection() const override;
  const char* intern(std::string_view text) override;
  [[nodiscard]] bool stdio_safe() const override;
  void shutdown() override;
  void disconnect(bool force) override;
  int nanosleep(unsigned seconds, unsigned nanoseconds) override;
  nbdkit_extents* current_extents() override { return this_thread.extents; }
  nbdkit_exports* current_exports() override { return this_thread.exports; }

  // --- shared by the server's own files -------------------------------------
  void report(IncidentKind kind, Callback callback, std::string text);

  // Whether nbdkit_error was called during the thread's last callback, be it by
  // a thread of the plugin's own.
  [[nodiscard]] bool said_why() const {
    return this_thread.said_why ||
           foreign_errors.load(std::memory_order_relaxed) != this_thread.foreign_errors;
  }
  // The failure of a callback that has just returned: checks that it said why.
  Failure failure(Callback callback, std::string_view what);
  // Reports any value of an int callback but 0 and -1; true unless it is -1.
  bool succeeded(Callback callback, int value);
  // A step cannot go on: no more callbacks (nbdkit exits at once).
  tl::unexpected<Failure> fail(Failure failure);

  void apply_debug_flags();                                              // debug_flags.cpp
  tl::expected<void, Failure> give(std::string key, std::string value);  // parameters.cpp
  void check_parameters(Callback callback);                              // parameters.cpp

  // nbdkit_disconnect wakes sleepers too.
  void wake_sleepers();

  const ServerOptions options;
  Observer& observer;
  const bool trace;
  std::optional<Plugin> loaded_plugin;
  const PluginStruct* table = nullptr;  // loaded_plugin->callbacks()
  std::string script;                   // first bare argument, for script plugins

  Stage stage = Stage::loaded;
  bool thread_model_resolved = false;
  std::atomic<bool> serving{false};  // after .get_ready: stdio is not safe, sleeping is
  std::atomic<bool> quit{false};
  Gate gate;

  // A deque does not move its elements: the plugin keeps their addresses.
  std::deque<GivenParameter> parameters;
  InternedStrings interned;

  std::atomic<int> connections_accepted{0};
  std::atomic<unsigned> handles{0};  // that are open, or being opened
  std::atomic<std::uint64_t> foreign_errors{0};

  std::mutex sleep_mutex;
  std::condition_variable sleep_over;
};

// The text of the last nbdkit_error on this thread, for Failure::message.
std::string& last_error_text();

}  // namespace nbdcheck
