#include "judge/concurrent_failures.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>

#include "judge/concurrent.hpp"

namespace nbdcheck {
namespace {

bool is_shortage(int error) {
  return error == ENOMEM || error == ENOSPC || error == EDQUOT || error == ESHUTDOWN;
}

bool overlap_in_time(const TimedRecord& a, const TimedRecord& b) {
  return a.begin <= b.end && b.begin <= a.end;
}

// Whether the records that `counts` takes cover all bytes of the operation; one
// of them in `last`.
template <typename Counts>
bool covered(std::span<const TimedRecord> history, const Operation& op, Counts counts,
             std::size_t& last) {
  std::uint64_t at = op.offset;
  const std::uint64_t end = op.offset + op.count;
  while (at < end) {
    std::uint64_t next = at;
    for (std::size_t i = 0; i < history.size(); ++i) {
      const Operation& other = history[i].operation;
      if (other.offset > at || other.offset + other.count <= next || !counts(history[i])) continue;
      next = other.offset + other.count;
      last = i;
    }
    if (next == at) return false;
    at = next;
  }
  return true;
}

}  // namespace

std::optional<NeedlessFailure> find_needless_failure(std::span<const TimedRecord> history) {
  for (std::size_t i = 0; i < history.size(); ++i) {
    const TimedRecord& failed = history[i];
    if (failed.operation.kind != OpKind::read || !failed.done || failed.error == 0 ||
        is_shortage(failed.error))
      continue;
    const auto same_connection = [&](const TimedRecord& r) {
      return r.ok() && r.operation.connection == failed.operation.connection;
    };
    const auto reopened = std::any_of(history.begin(), history.end(), [&](const TimedRecord& r) {
      return same_connection(r) && r.operation.kind == OpKind::close;
    });
    if (reopened) continue;
    const auto other = std::find_if(history.begin(), history.end(), [&](const TimedRecord& r) {
      return &r != &failed && r.done && has_range(r.operation.kind) && overlap_in_time(r, failed);
    });
    if (other == history.end()) continue;
    NeedlessFailure found{i, static_cast<std::size_t>(other - history.begin()), 0};
    std::size_t before = 0;
    const auto was_there = [&](const TimedRecord& r) {
      const OpKind kind = r.operation.kind;
      return same_connection(r) && r.end < failed.begin &&
             (kind == OpKind::read || kind == OpKind::write || kind == OpKind::zero);
    };
    const auto is_there = [&](const TimedRecord& r) {
      return same_connection(r) && r.begin > failed.end && r.operation.kind == OpKind::read;
    };
    if (covered(history, failed.operation, was_there, before) &&
        covered(history, failed.operation, is_there, found.after))
      return found;
  }
  return std::nullopt;
}

Violation describe_needless_failure(std::span<const TimedRecord> history,
                                    const NeedlessFailure& failure) {
  const auto call = [&](std::size_t record) {
    return fmt::format("[{}] {}", record + 1, describe(history[record].operation));
  };
  const int error = history[failure.read].error;
  Violation v;
  v.rule = "concurrency.needless-error";
  v.message =
      fmt::format("{} failed with {} while {} ran; before and after, and alone, it is served.",
                  call(failure.read), strerrorname_np(error), call(failure.other));
  v.expected = "a request does not fail because others run";
  v.actual = strerrorname_np(error);
  const std::size_t witness[] = {std::min(failure.read, failure.other),
                                 std::max(failure.read, failure.other), failure.after};
  for (std::string& line : space_time_diagram(history, witness))
    v.details.push_back(std::move(line));
  return v;
}

}  // namespace nbdcheck
