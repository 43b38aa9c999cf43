// One client for checks that deal with connections as such: a connection and
// the thread that belongs to it, as nbdkit has one for each.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "execute/lane.hpp"
#include "nbdcheck/server.hpp"
#include "subject.hpp"

namespace nbdcheck {

// How often a client that may be refused, or not served, for a moment asks before
// a check takes it that it always is ("One error is no fault", docs/design.md).
constexpr int open_tries = 4;
constexpr int read_tries = 9;

class Client {
 public:
  explicit Client(Server& server) : server_(server) {}
  ~Client() { close(); }  // and .close, unless the server is shutting down
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  // .preconnect; false: refused, see failure().
  bool connect();
  // The rest of the handshake, after connect() where that was not called yet.
  bool open(const std::string& export_name);
  // Tried open_tries times, each on a new connection: what is behind the export may be
  // out of reach for a moment.
  bool open_at_last(const std::string& export_name);
  void close();

  [[nodiscard]] bool is_open() const { return connection_ && connection_->is_open(); }
  // For calls on other threads than this client's.  REQUIRES: is_open().
  [[nodiscard]] Connection& connection() { return *connection_; }
  [[nodiscard]] const ExportInfo& info() const { return connection_->export_info(); }
  [[nodiscard]] const Failure& failure() const { return failure_; }

  // Runs `work` on this client's thread; REQUIRES: connect() returned true.
  void run(const std::function<void(Connection&)>& work);

  Reply read(std::span<std::byte> buffer, std::uint64_t offset);
  Reply write(std::span<const std::byte> buffer, std::uint64_t offset);
  Reply flush();
  Reply zero(std::uint32_t count, std::uint64_t offset, std::uint32_t flags);

 private:
  Server& server_;
  Lane lane_;  // outlives the connection
  std::unique_ptr<Connection> connection_;
  Failure failure_;
};

// A range that a single request may cover.
struct Place {
  std::uint64_t offset;
  std::uint32_t count;
};

// The first, a middle and the last range of the export, each of whole blocks
// and about 4 KiB; fewer where they would overlap, none in an empty export.
std::vector<Place> sample_places(const Subject& subject);

}  // namespace nbdcheck
