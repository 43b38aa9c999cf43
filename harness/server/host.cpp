// What the nbdkit_* functions that plugins call come to in this server.
#include "api/host.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <chrono>

#include "server/connection_impl.hpp"
#include "server/server_impl.hpp"

namespace nbdcheck {

std::string& last_error_text() {
  thread_local std::string text;
  return text;
}

void Server::Impl::error(std::string_view text) {
  if (this_thread.server == this) {
    this_thread.said_why = true;
    last_error_text() = text;
  } else {
    foreign_errors.fetch_add(1, std::memory_order_relaxed);
  }
  observer.on_error(this_thread.callback, text);
}

void Server::Impl::debug(std::string_view text) {
  if (options.verbose) observer.on_debug(this_thread.callback, text);
}

void Server::Impl::incident(IncidentKind kind, std::string text) {
  report(kind, this_thread.callback, std::move(text));
}

void Server::Impl::report(IncidentKind kind, Callback callback, std::string text) {
  observer.on_incident({kind, callback, std::move(text)});
}

// nbdkit server/threadlocal.c: only connection threads have an error of their
// own, any other thread's goes to errno.
void Server::Impl::set_error(int error) {
  if (this_thread.connection == nullptr) {
    errno = error;
    return;
  }
  this_thread.error_was_set = true;
  // nbdkit asserts that it is not negative.
  this_thread.error = std::max(error, 0);
}

// nbdkit closes the socket before the last .close, which thus finds no peer.
bool Server::Impl::has_connection() const {
  return this_thread.connection != nullptr && !this_thread.connection->finished;
}

const char* Server::Impl::export_name() {
  const bool known = this_thread.in_context && this_thread.connection->name_for_plugin != nullptr;
  if (known) return this_thread.connection->name_for_plugin;
  // In .default_export there is a context but no name yet, and no message.
  if (!this_thread.in_context) error("no connection in this thread");
  incident(IncidentKind::no_context,
           "nbdkit_export_name is only known from .open to .close, on the server's threads; "
           "it returned NULL");
  return nullptr;
}

int Server::Impl::is_tls() {
  if (this_thread.in_context) return 0;
  error("no connection in this thread");
  incident(IncidentKind::no_context,
           "nbdkit_is_tls is only known from .open to .close, on the server's threads; it "
           "returned -1");
  return -1;
}

const char* Server::Impl::intern(std::string_view text) {
  bool raced = false;
  if (!this_thread.in_context) return interned.add(text, raced);
  const char* result = this_thread.connection->interned.add(text, raced);
  if (raced) {
    incident(IncidentKind::intern_race,
             "two threads interned a string on one connection at the same time; nbdkit keeps "
             "them in a list without a lock");
  }
  return result;
}

bool Server::Impl::stdio_safe() const { return !options.single && !serving; }

void Server::Impl::shutdown() {
  quit = true;
  wake_sleepers();
}

void Server::Impl::wake_sleepers() {
  // Under the mutex, so that no sleeper is between its check and its sleep.
  const std::lock_guard lock(sleep_mutex);
  sleep_over.notify_all();
}

// In process there is no socket to cut, so forced or not, the command in
// progress gets its reply; a client cannot count on it either way.
void Server::Impl::disconnect(bool /*force*/) {
  if (this_thread.connection == nullptr) return;
  this_thread.connection->refuse_requests = true;
  wake_sleepers();
}

int Server::Impl::nanosleep(unsigned seconds, unsigned nanoseconds) {
  using std::chrono::steady_clock;
  const auto duration = std::chrono::nanoseconds(nanoseconds) + std::chrono::seconds(seconds);
  if (!serving) {
    incident(IncidentKind::nanosleep_too_early,
             "nbdkit_nanosleep before .after_fork: nbdkit may abort");
  }
  const Connection::Impl* connection = this_thread.connection;
  const auto woken = [&] { return quit || (connection != nullptr && connection->refuse_requests); };
  std::unique_lock lock(sleep_mutex);
  if (!sleep_over.wait_until(lock, steady_clock::now() + duration, woken)) return 0;
  lock.unlock();
  error(quit ? "aborting sleep because of server shut down"
             : "aborting sleep because of connection close");
  errno = ESHUTDOWN;
  return -1;
}

}  // namespace nbdcheck
