// What the nbdkit_* functions need of the server: the one seam between the C
// API that plugins call (harness/api) and the server behind it
// (harness/server).  There is at most one host in a process, because the C API
// has no other way to find it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "nbdcheck/exports.hpp"
#include "nbdcheck/extents.hpp"
#include "nbdcheck/observer.hpp"

namespace nbdcheck::detail {

// Registers the address of the object it is part of while that object lives.
// A plugin may keep a list's pointer too long, or make one up; this tells such
// pointers without following them.
class LiveMark {
 public:
  LiveMark();
  LiveMark(const LiveMark&);
  LiveMark& operator=(const LiveMark&) { return *this; }
  ~LiveMark();

  // Whether `mark`, possibly in freed memory, is a living LiveMark.
  static bool is_live(const LiveMark* mark);
};

}  // namespace nbdcheck::detail

// The opaque types of the C API.
struct nbdkit_extents {
  nbdcheck::ExtentList list;
  bool wrapped = false;  // one was given an extent beyond 2^63-1, which may be lost
  std::uint64_t room = ~std::uint64_t{0};  // so many calls succeed; then memory is exhausted
  bool exhausted = false;                  // a call failed for that
  nbdcheck::detail::LiveMark mark = {};
};
struct nbdkit_exports {
  nbdcheck::ExportList list = {};
  nbdcheck::detail::LiveMark mark = {};
};

namespace nbdcheck {

class Host {
 public:
  virtual ~Host() = default;

  // nbdkit_error / nbdkit_debug; `text` has no trailing newline.  errno is
  // kept by the caller.
  virtual void error(std::string_view text) = 0;
  virtual void debug(std::string_view text) = 0;
  [[nodiscard]] virtual bool verbose() const = 0;
  virtual void incident(IncidentKind kind, std::string text) = 0;

  // Thread-local error of a server thread; on any other thread it stores to
  // errno (S-172 behaviour of nbdkit's threadlocal.c).
  virtual void set_error(int error) = 0;

  // nullptr and -1 (with nbdkit's "no context" message) outside a connection.
  virtual const char* export_name() = 0;
  virtual int is_tls() = 0;
  // Peer of the current connection: this process, over a Unix socket.
  // -1 where there is no connection on this thread.
  virtual bool has_connection() const = 0;

  // Copies `text` into the current connection's or the process's interned
  // strings; never fails.
  virtual const char* intern(std::string_view text) = 0;

  [[nodiscard]] virtual bool stdio_safe() const = 0;
  virtual void shutdown() = 0;
  virtual void disconnect(bool force) = 0;
  // 0, or -1 with errno set (ESHUTDOWN, EINVAL).
  virtual int nanosleep(unsigned seconds, unsigned nanoseconds) = 0;

  // The lists handed to the running .extents / .list_exports callback of this
  // thread; nullptr outside.
  virtual nbdkit_extents* current_extents() = 0;
  virtual nbdkit_exports* current_exports() = 0;
};

// The host of this process; nullptr when no server is loaded.  The nbdkit_*
// functions work without one as far as they can (parsers do, messages go to
// stderr).
Host* current_host();
void set_current_host(Host* host);

}  // namespace nbdcheck
