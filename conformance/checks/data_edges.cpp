// The ends of the export, and requests whose parts work but whose whole does
// not.  Errors are legal (a bad sector, a full pool); an error that depends on
// the shape of the request rather than on its place is not.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <vector>

#include "checks/sequence_check.hpp"

namespace nbdcheck {
namespace {

class Edges {
 public:
  Edges(CheckRun& run, Session& session)
      : run_(run),
        session_(session),
        block_(run.subject().minimum_block()),
        size_(run.subject().info.size - run.subject().info.size % block_),
        longest_(run.request().effort == Effort::quick ? 4U << 20 : largest_request),
        // Of one size from first to last: a plugin that keeps a buffer too long would
        // die of one that grows, and other checks tell that better.
        data_(std::min(size_, std::max(longest_, 2 * block_))) {}

  void last_block() {
    if (size_ < 2 * block_) return;
    const std::uint64_t last = size_ - block_;
    // The same place twice: once fails, once not, is not a matter of place.
    if (!read(last, block_) && read(last - block_, block_) && !read(last, block_) &&
        read(last - block_, block_))
      report("data.last-byte", "pread", last, block_, last - block_);
    if (!run_.subject().info.can_write || block_ >= 4096) return;
    // In the same 4 KiB, so that a full pool cannot tell them apart.
    if ((last - block_) / 4096 != last / 4096) return;
    if (!write(last, block_) && write(last - block_, block_) && !write(last, block_) &&
        write(last - block_, block_))
      report("data.last-byte", "pwrite", last, block_, last - block_);
  }

  void wholes() {
    for (const std::uint64_t length : {3U, 513U, 4096U, 65536U})
      for (const std::uint64_t offset :
           {std::uint64_t{0}, block_, std::uint64_t{1}, size_ / 2, size_ - std::min(size_, length)})
        whole(reading, offset, length);
    // Whatever the limit is: the shortest of these that fails has halves that work.
    for (std::uint64_t length = 1024; length <= std::min(size_, longest_); length *= 2) {
      if (run_.seconds_left() < 0) return;
      whole(reading, 0, length);
      if (run_.subject().info.can_write) whole(writing, 0, length);
    }
  }

 private:
  static constexpr std::uint64_t largest_request = 64U << 20;  // nbdkit's own limit

  bool read(std::uint64_t offset, std::uint64_t count) {
    run_.count_operations(1);
    return session_.read(std::span(data_).first(count), offset, 0).ok();
  }
  bool write(std::uint64_t offset, std::uint64_t count) {
    run_.count_operations(1);
    return session_.write(std::span(data_).first(count), offset, 0).ok();
  }

  struct Way {
    bool (Edges::*request)(std::uint64_t offset, std::uint64_t count);
    const char* callback;
    const char* done;
  };
  static constexpr Way reading{&Edges::read, "pread", "read"};
  static constexpr Way writing{&Edges::write, "pwrite", "written"};

  // A request that fails although both of its halves, before and after, work.
  void whole(const Way& way, std::uint64_t offset, std::uint64_t length) {
    const auto& announced = run_.subject().info.block_size;
    if (announced && announced->maximum != 0)
      length = std::min<std::uint64_t>(length, announced->maximum);
    offset = offset / block_ * block_;
    length = std::min(length / block_ * block_, size_ - std::min(size_, offset));
    if (length < 2 * block_) return;
    const std::uint64_t half = length / 2 / block_ * block_;
    const auto one = [&](std::uint64_t at, std::uint64_t count) {
      return (this->*way.request)(at, count);
    };
    const auto halves = [&] { return one(offset, half) && one(offset + half, length - half); };
    if (one(offset, length) || !halves() || one(offset, length) || !halves()) return;
    Violation v;
    v.rule = "data.no-needless-error";
    v.message = fmt::format(
        "{}(count={}, offset={}) fails, although its two halves can be {}, before and after.",
        way.callback, length, offset, way.done);
    v.expected = "success, or a limit announced through .block_size";
    v.actual = "error: " + run_.incidents().last_error();
    run_.violated(std::move(v));
  }

  void report(const char* rule, const char* call, std::uint64_t offset, std::uint64_t count,
              std::uint64_t neighbour) {
    Violation v;
    v.rule = rule;
    v.message = fmt::format(
        "{}(count={}, offset={}), the last {} of the export, fails; the same at offset {} works.",
        call, count, offset, count == 1 ? "byte" : "block", neighbour);
    v.expected = fmt::format("success: .get_size said {}", run_.subject().info.size);
    v.actual = "error: " + run_.incidents().last_error();
    run_.violated(std::move(v));
  }

  CheckRun& run_;
  Session& session_;
  std::uint64_t block_;
  std::uint64_t size_;
  std::uint64_t longest_;
  std::vector<std::byte> data_;
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
            edges.last_block();
            edges.wholes();
          });
          server->stop();
          run.report_incidents();
        },
}};

}  // namespace
}  // namespace nbdcheck
