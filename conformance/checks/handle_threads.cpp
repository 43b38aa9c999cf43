// Which thread runs a callback is nbdkit's business: every connection has a
// thread of its own, and under PARALLEL the requests of one connection are
// spread over a pool.  One request at a time here, each on another thread than
// the one before.
#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <map>
#include <optional>
#include <span>

#include "checks/check_run.hpp"
#include "checks/client.hpp"
#include "checks/sequence_check.hpp"
#include "model/tags.hpp"
#include "nbdcheck/status_page.hpp"

namespace nbdcheck::checks::handle_threads {
namespace {

// Of a slow plugin fewer requests are made: each is worth as much.
constexpr double enough_time = 0.5;  // seconds, for each of the parts
std::uint64_t as_many(const Subject& subject, std::uint64_t least, std::uint64_t most) {
  const double each = static_cast<double>(subject.nanoseconds_per_read) * 1e-9;
  if (each * static_cast<double>(most) < enough_time) return most;
  return std::max(least, static_cast<std::uint64_t>(enough_time / each));
}

class Threads {
 public:
  Threads(CheckRun& run, Server& server)
      : run_(run),
        server_(server),
        writes_(run.subject().info.can_write),
        block_(std::max<std::uint64_t>(run.subject().minimum_block(), 512)),
        blocks_(std::min<std::uint64_t>(run.subject().info.size / block_, 256)),
        rounds_(as_many(run.subject(), 6, 64)),
        changes_(as_many(run.subject(), 1, 4)) {}

  // One connection whose requests run on three threads in turn.
  void spread() {
    set_phase("requests of one connection on several threads");
    judge([this](std::span<Lane> lanes) { spread_over(lanes); });
  }

  // Connections one after the other, each on a new thread.
  void in_turn() {
    set_phase("connections in turn, each on a thread of its own");
    judge([this](std::span<Lane> lanes) { take_turns(lanes); });
  }

 private:
  // What goes wrong on a single thread, too, is for other checks to name.
  void judge(const std::function<void(std::span<Lane>)>& part) {
    const auto fails = [&](std::size_t threads) {
      std::vector<Lane> lanes(threads);
      known_.clear();
      wrong_.reset();
      part(lanes);
      return wrong_.has_value();
    };
    if (fails(1) || !fails(4)) return;
    Violation found = std::move(*wrong_);
    if (!fails(1)) run_.violated(std::move(found));
  }

  void spread_over(std::span<Lane> lanes) {
    std::unique_ptr<Connection> connection;
    lanes.front().run([&] { connection = opened(); });
    if (connection) {
      for (std::uint64_t i = 0; i < rounds_ && !wrong_; ++i) {
        const std::uint64_t offset = run_.random().below(blocks_) * block_;
        lanes[i % lanes.size()].run([&] { change(*connection, offset); });
        lanes[(i + 1) % lanes.size()].run(
            [&] { compare(*connection, offset, "another thread than wrote it"); });
      }
    }
    lanes.front().run([&] { connection.reset(); });
  }

  void take_turns(std::span<Lane> lanes) {
    for (std::uint64_t i = 0; i < 4 && !wrong_; ++i) {
      lanes[i % lanes.size()].run([&] {
        const auto connection = opened();
        if (!connection) return;
        for (const auto& entry : std::map(known_))
          compare(*connection, entry.first, "the thread of a later connection");
        for (std::uint64_t n = 0; n < changes_; ++n)
          change(*connection, (i * changes_ + n) % blocks_ * block_);
        if (run_.subject().info.can_flush && !connection->flush().ok()) known_.clear();
      });
    }
  }

  std::unique_ptr<Connection> opened() {
    Failure failure;
    for (int tries = 0; tries < open_tries; ++tries) {
      auto connection = server_.connect();
      if (!connection) {
        failure = connection.error();
        continue;
      }
      auto info = (*connection)->open(run_.request().export_name);
      if (info) return std::move(*connection);
      failure = info.error();
    }
    run_.failed_to_start(failure);
    return nullptr;
  }

  // Writes a block, or reads it where nothing can be written, and remembers it.
  void change(Connection& connection, std::uint64_t offset) {
    std::vector<std::byte> data(block_);
    run_.count_operations(1);
    Reply reply;
    if (writes_) {
      fill_tags(data, offset, ++tag_);
      reply = connection.write(data, offset);
    } else {
      reply = connection.read(data, offset);
    }
    if (reply.ok())
      known_[offset] = std::move(data);
    else
      known_.erase(offset);
  }

  void compare(Connection& connection, std::uint64_t offset, const char* where) {
    const auto known = known_.find(offset);
    if (known == known_.end() || wrong_) return;
    std::vector<std::byte> data(block_);
    run_.count_operations(1);
    Reply reply = connection.read(data, offset);
    // It may fail now and then; a thread that it does not like it never likes.
    for (int tries = 1; tries < read_tries && !reply.ok(); ++tries)
      reply = connection.read(data, offset);
    if (reply.ok() && (data == known->second || !judges_contents())) return;
    Violation v;
    v.rule = "handle.threads";
    v.message = fmt::format("pread(count={}, offset={}) on {} {}.", block_, offset, where,
                            reply.ok() ? "returned other data" : "failed");
    v.expected = writes_ ? "the data that were written before" : "the data that were read before";
    if (!reply.ok()) v.actual = "error: " + run_.incidents().last_error();
    wrong_ = std::move(v);
  }

  [[nodiscard]] bool judges_contents() const {
    return run_.subject().stable_contents && !run_.request().unstable_contents;
  }

  CheckRun& run_;
  Server& server_;
  bool writes_;
  std::uint64_t block_;
  std::uint64_t blocks_;
  std::uint64_t rounds_;
  std::uint64_t changes_;  // by each connection
  std::uint32_t tag_ = 0;
  std::map<std::uint64_t, std::vector<std::byte>> known_;  // by offset
  std::optional<Violation> wrong_;                         // the first
};

bool spreads(const Subject& subject) { return subject.thread_model == ThreadModel::parallel; }

// Without writing, or where each connection has a disk of its own, what one
// connection reads tells nothing new of the next.
bool takes_turns(const Subject& subject) {
  return subject.info.can_write && subject.persistence == Persistence::shared;
}

std::string not_applicable(const Subject& subject) {
  if (const auto why = needs_contents(subject); !why.empty()) return why;
  if (subject.info.size < std::max<std::uint64_t>(subject.minimum_block(), 512))
    return "smaller than 512 bytes";
  if (!spreads(subject) && !takes_turns(subject)) return "one thread is all it gets to see";
  return "";
}

const Registration registration{{
    .id = "handle.threads",
    .summary = "it does not matter which thread runs a callback",
    .rules = {"handle.threads"},
    .not_applicable = not_applicable,
    .run =
        [](CheckRun& run) {
          const auto server = run.serve();
          if (!server) return;
          Threads threads(run, *server);
          if (spreads(run.subject())) threads.spread();
          if (takes_turns(run.subject()) && !run.found_any()) threads.in_turn();
          if (!run.found_any()) server->stop();
          run.report_incidents();
        },
    .seeded = true,
}};

}  // namespace
}  // namespace nbdcheck::checks::handle_threads
