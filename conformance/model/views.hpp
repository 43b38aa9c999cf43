// What each connection may see, when operations run one after another on
// several connections, and across close and reopen.
//
// What is promised, and nothing more (nbdkit-plugin(3) ".can_multi_conn",
// ".flush"; NBD protocol, NBD_FLAG_CAN_MULTI_CONN):
//  - a connection sees its own completed writes;
//  - with multi-conn, an answered flush on any connection, or FUA, makes the
//    completed writes it covers visible on all of them; before, another
//    connection sees the old or the new data;
//  - without it, another open connection is owed nothing for a place that
//    somebody else writes, nor are two that both write it before a flush;
//  - shared storage: a connection opened later sees what was flushed; of what
//    was not flushed when its writer closed it may see old or new;
//  - per-connection storage: every open starts anew.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <vector>

#include "model/reference_disk.hpp"

namespace nbdcheck {

struct ViewRules {
  bool shared = true;  // false: a disk of its own for every connection
  bool multi_conn = false;
  // False when there is one connection that is opened once: then there is
  // nothing to keep but its own view, and long runs stay cheap.
  bool reopens = true;
};

class Views {
 public:
  Views(std::uint64_t size, ViewRules rules);

  void open(int connection);
  void close(int connection);
  [[nodiscard]] bool is_open(int connection) const { return views_.contains(connection); }

  // A modification answered with success; `fua`: it was asked to be durable.
  void set(int connection, std::uint64_t offset, std::uint64_t count, Content content, bool fua);
  // One that failed: old, new or a mixture.
  void maybe(int connection, std::uint64_t offset, std::uint64_t count, Content content);
  void flush(int connection);

  std::optional<Mismatch> read(int connection, std::uint64_t offset,
                               std::span<const std::byte> data);
  [[nodiscard]] const ReferenceDisk& of(int connection) const { return views_.at(connection); }

 private:
  struct Pending {  // answered, not yet covered by a flush
    int connection;
    std::uint64_t offset;
    std::uint64_t count;
    Content content;
  };
  // Whether another connection changed the same place and has not flushed it:
  // each may write back when it likes, so nobody knows what stays.
  [[nodiscard]] bool contested(int connection, std::uint64_t offset, std::uint64_t count) const;
  void settle(const Pending& pending);

  ViewRules rules_;
  ReferenceDisk store_;  // what a connection opened now would see
  std::map<int, ReferenceDisk> views_;
  std::vector<Pending> pending_;
  // Without multi-conn: written by connections that are still open.
  std::vector<Pending> in_flux_;
};

}  // namespace nbdcheck
