// The ends of the export, and requests whose parts work but whose whole does
// not.  Errors are legal (a bad sector, a full pool); an error that depends on
// the shape of the request rather than on its place is not.
#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "checks/sequence_check.hpp"
#include "execute/second_look.hpp"
#include "execute/send.hpp"

namespace nbdcheck::checks::data_edges {
namespace {

// data.large asks for the longest there are, often at the same time: two plugins
// that keep what is written, and two buffers, would take much memory.
std::uint64_t longest(Effort effort) {
  if (effort == Effort::quick) return 4U << 20;
  return effort == Effort::standard ? 16U << 20 : max_request_size;
}

class Edges {
 public:
  Edges(CheckRun& run, Session& session)
      : run_(run),
        session_(session),
        block_(run.subject().minimum_block()),
        size_(run.subject().info.size - run.subject().info.size % block_),
        longest_(longest(run.request().effort)),
        // Of one size from first to last: a plugin that keeps a buffer too long would
        // die of one that grows, and other checks tell that better.
        data_(std::min(size_, std::max(longest_, 2 * block_))) {}

  // One place may be bad, and one length refused; not all of them.  Whoever
  // refuses all reads on purpose says with which errno.
  bool can_be_read() {
    if (size_ < block_) return true;
    std::vector<std::uint64_t> lengths{block_};
    if (size_ >= 4096 && block_ < 4096) lengths.push_back(4096);
    for (const std::uint64_t length : lengths)
      for (const std::uint64_t offset :
           {std::uint64_t{0}, size_ / 2 / block_ * block_, size_ - length})
        if (offset + length <= size_ && (read(offset, length) || read(offset, length))) return true;
    if (!run_.incidents().seen(IncidentKind::no_errno)) return true;
    Violation v;
    v.rule = "data.last-byte";
    v.message =
        "Nothing of the export can be read: every .pread fails, wherever, of one block or more.";
    v.expected = "the bytes from 0 to the size can be read";
    v.actual = "error: " + run_.incidents().last_error();
    run_.violated(std::move(v));
    return false;
  }

  void last_block() {
    report(look_at_last_block(OpKind::read, size_, block_, asker_));
    if (run_.subject().info.can_write)
      report(look_at_last_block(OpKind::write, size_, block_, asker_));
  }

  void wholes() {
    for (const std::uint64_t length : {3U, 513U, 4096U, 65536U})
      for (const std::uint64_t offset :
           {std::uint64_t{0}, block_, std::uint64_t{1}, size_ / 2, size_ - std::min(size_, length)})
        whole(OpKind::read, offset, length);
    // Whatever the limit is: the shortest of these that fails has halves that work.
    for (std::uint64_t length = 1024; length <= std::min(size_, longest_); length *= 2) {
      if (run_.seconds_left() < 0) return;
      whole(OpKind::read, 0, length);
      if (run_.subject().info.can_write) whole(OpKind::write, 0, length);
    }
  }

 private:
  bool read(std::uint64_t offset, std::uint64_t count) {
    return works(OpKind::read, offset, count);
  }
  bool works(OpKind kind, std::uint64_t offset, std::uint64_t count) {
    Operation op{.kind = kind};
    op.offset = offset;
    op.count = static_cast<std::uint32_t>(count);
    return ask(op) == 0;
  }
  int ask(const Operation& op) {
    run_.count_operations(1);
    return send(session_, op, std::span(data_).first(op.count), run_.subject().info.size).error;
  }
  void report(std::optional<Violation> violation) {
    if (violation) run_.violated(*std::move(violation));
  }

  void whole(OpKind kind, std::uint64_t offset, std::uint64_t length) {
    const auto& announced = run_.subject().info.block_size;
    if (announced && announced->maximum != 0)
      length = std::min<std::uint64_t>(length, announced->maximum);
    Operation op{.kind = kind};
    op.offset = offset / block_ * block_;
    op.count = static_cast<std::uint32_t>(
        std::min(length / block_ * block_, size_ - std::min(size_, op.offset)));
    report(look_at_whole(op, block_, asker_));
  }

  CheckRun& run_;
  Session& session_;
  std::uint64_t block_;
  std::uint64_t size_;
  std::uint64_t longest_;
  std::vector<std::byte> data_;
  Asker asker_{[this](const Operation& op) { return ask(op); },
               [this] { return run_.incidents().last_error(); }};
};

const Registration registration{{
    .id = "data.edges",
    .summary = "the last byte, and requests whose parts work but whose whole fails",
    .rules = {"data.last-byte", "data.no-needless-error"},
    .not_applicable = needs_contents,
    .run =
        [](CheckRun& run) {
          const auto server = run.serve();
          if (!server) return;
          on_connection_thread([&] {
            InProcessTarget target(*server);
            const auto session = target.open(run.request().export_name);
            if (!session) {
              run.failed_to_start(session.error());
              return;
            }
            Edges edges(run, **session);
            if (!edges.can_be_read()) return;
            edges.last_block();
            edges.wholes();
          });
          server->stop();
          run.report_incidents();
        },
}};

}  // namespace
}  // namespace nbdcheck::checks::data_edges
