// What the server knows of the thread it runs on, set for the duration of each
// call into it.  A plugin's own threads have none: nbdkit-plugin(3) "Threads",
// nbdkit server/threadlocal.c.
#pragma once

#include <cstdint>

#include "api/host.hpp"
#include "nbdcheck/connection.hpp"
#include "nbdcheck/server.hpp"
#include "nbdcheck/status_page.hpp"
#include "nbdcheck/types.hpp"

namespace nbdcheck {

struct ThreadContext {
  Server::Impl* server = nullptr;          // null: not a thread of ours
  Connection::Impl* connection = nullptr;  // from .preconnect to .close
  bool in_context = false;                 // from .open to .close

  // The callback in progress, or none.
  Callback callback = Callback::none;
  nbdkit_extents* extents = nullptr;
  nbdkit_exports* exports = nullptr;

  // What the callback in progress, or the last one, did.
  bool said_why = false;             // nbdkit_error was called
  bool error_was_set = false;        // nbdkit_set_error was called
  int returned_errno = 0;            // errno at its return
  std::uint64_t foreign_errors = 0;  // messages from threads not ours, before it

  // The error of the request in progress: sticky within one request.
  int error = 0;
  bool reached_plugin = false;  // some callback was called in this request

  CallSlot* slot = nullptr;
};

inline constinit thread_local ThreadContext this_thread;

// Makes the calling thread the server's, and perhaps a connection's.
class ThreadScope {
 public:
  explicit ThreadScope(Server::Impl& server, Connection::Impl* connection = nullptr,
                       bool in_context = false)
      : server_(this_thread.server),
        connection_(this_thread.connection),
        in_context_(this_thread.in_context) {
    this_thread.server = &server;
    this_thread.connection = connection;
    this_thread.in_context = in_context;
    this_thread.error = 0;
    this_thread.reached_plugin = false;
    this_thread.slot = &my_slot();
  }
  ~ThreadScope() {
    this_thread.server = server_;
    this_thread.connection = connection_;
    this_thread.in_context = in_context_;
  }
  ThreadScope(const ThreadScope&) = delete;
  ThreadScope& operator=(const ThreadScope&) = delete;

 private:
  Server::Impl* server_;
  Connection::Impl* connection_;
  bool in_context_;
};

}  // namespace nbdcheck
