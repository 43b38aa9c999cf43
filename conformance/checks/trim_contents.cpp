// What is read from a trimmed range: the protocol leaves it open, but it should
// not be what was written elsewhere.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "checks/client.hpp"
#include "checks/sequence_check.hpp"
#include "model/tags.hpp"
#include "nbdcheck/status_page.hpp"

namespace nbdcheck::checks::trim_contents {
namespace {

constexpr std::uint64_t most = 64U << 10;
constexpr std::uint64_t page = 4096;

class Trimmed {
 public:
  Trimmed(CheckRun& run, Client& client) : run_(run), client_(client) {}

  // Data around the trimmed range, before and after the trim: what is free may
  // be given to them.
  void look_at(std::uint64_t offset, std::uint64_t other, std::uint32_t count) {
    const bool done =
        write(other, count) && write(offset, count) && trim(offset, count) && write(other, count);
    std::vector<std::byte> data(count);
    if (!done || !client_.read(data, offset).ok()) return;
    for (std::uint32_t at = 0; at + 8 <= count; at += 8) {
      std::uint64_t word = 0;
      std::memcpy(&word, data.data() + at, sizeof word);
      for (std::uint32_t tag = 1; tag <= last_tag_; ++tag) {
        const auto place = tag_place(word, tag, other, other + count);
        if (!place) continue;
        Violation v;
        v.rule = "trim.contents";
        v.message = fmt::format(
            "After trim(count={}, offset={}) a read at offset {} returns what was written at {}.",
            count, offset, offset + at, *place);
        v.expected = "the old bytes, or zeroes";
        v.actual = fmt::format("the data of offset {}", *place);
        return run_.violated(std::move(v));
      }
    }
  }

 private:
  bool write(std::uint64_t offset, std::uint32_t count) {
    std::vector<std::byte> data(count);
    fill_tags(data, offset, ++last_tag_);
    run_.count_operations(1);
    return client_.write(data, offset).ok();
  }
  bool trim(std::uint64_t offset, std::uint32_t count) {
    Reply reply;
    client_.run([&](Connection& connection) { reply = connection.trim(count, offset); });
    run_.count_operations(1);
    return reply.ok();
  }

  CheckRun& run_;
  Client& client_;
  std::uint32_t last_tag_ = 0;
};

std::string not_applicable(const Subject& subject) {
  if (!subject.info.can_trim) return "no .trim";
  if (subject.info.size < 2 * std::max(page, subject.minimum_block())) return "too small";
  return needs_writing(subject);
}

void run_check(CheckRun& run) {
  const auto server = run.serve();
  if (!server) return;
  {
    Client client(*server);
    if (!client.open(run.request().export_name)) return run.failed_to_start(client.failure());
    Trimmed trimmed(run, client);
    const std::uint64_t unit = std::max(page, run.subject().minimum_block());
    const std::uint64_t half = run.subject().info.size / 2 / unit * unit;
    const auto count = static_cast<std::uint32_t>(
        std::min({std::max(most, unit), half, run.subject().maximum_request() / unit * unit}));
    if (count != 0) {
      trimmed.look_at(0, half, count);
      if (!run.found_any()) trimmed.look_at(half, 0, count);
    }
  }
  if (!run.found_any()) server->stop();
  run.report_incidents();
}

const Registration registration{{
    .id = "trim.contents",
    .summary = "a trimmed range does not show other data",
    .rules = {"trim.contents"},
    .not_applicable = not_applicable,
    .run = run_check,
}};

}  // namespace
}  // namespace nbdcheck::checks::trim_contents
