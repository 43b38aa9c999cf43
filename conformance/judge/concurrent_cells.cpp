#include "judge/concurrent_cells.hpp"

#include <algorithm>
#include <array>

#include "model/tags.hpp"
#include "nbdcheck/connection.hpp"

namespace nbdcheck {
namespace {

bool changes_data(const TimedRecord& record) {
  return record.done && modifies(record.operation.kind);
}

}  // namespace

Sight::Sight(std::span<const TimedRecord> history, bool multi_conn)
    : history_(history), multi_conn_(multi_conn), session_(history.size()) {
  // Records are in the order of the plan, in which the operations of a
  // connection that comes or goes are in the order of their thread.
  std::array<std::uint32_t, 256> current{};
  for (std::uint32_t c = 0; c < current.size(); ++c) current[c] = c;
  std::uint32_t next = 256;
  for (std::size_t i = 0; i < history.size(); ++i) {
    const Operation& op = history[i].operation;
    if (op.kind == OpKind::open && history[i].done) current[op.connection] = next++;
    session_[i] = current[op.connection];
    if (op.kind == OpKind::flush && history[i].ok()) flushes_.push_back(i);
    if (i > 0 && history[i].done && has_range(op.kind) && session_[i] != session_.front())
      one_session_ = false;
  }
}

bool Sight::settled(std::size_t change, std::size_t observer) const {
  const TimedRecord& what = history_[change];
  const std::int64_t by = history_[observer].begin;
  if (what.end >= by) return false;
  if (session_[change] == session_[observer]) return true;
  if (!multi_conn_) return false;
  if ((what.operation.flags & command_flag::fua) != 0) return true;
  return std::any_of(flushes_.begin(), flushes_.end(), [&](std::size_t f) {
    return what.end < history_[f].begin && history_[f].end < by;
  });
}

std::vector<Cell> cut_into_cells(std::span<const TimedRecord> history) {
  std::vector<std::uint64_t> edges;
  std::vector<std::uint32_t> changes;
  for (std::size_t i = 0; i < history.size(); ++i) {
    if (!changes_data(history[i])) continue;
    const Operation& op = history[i].operation;
    edges.push_back(op.offset);
    edges.push_back(op.offset + op.count);
    changes.push_back(static_cast<std::uint32_t>(i));
  }
  std::sort(edges.begin(), edges.end());
  edges.erase(std::unique(edges.begin(), edges.end()), edges.end());
  std::sort(changes.begin(), changes.end(),
            [&](std::uint32_t a, std::uint32_t b) { return history[a].begin < history[b].begin; });
  std::vector<Cell> cells;
  for (std::size_t e = 0; e + 1 < edges.size(); ++e)
    cells.push_back({edges[e], edges[e + 1], {}, {}});
  for (const std::uint32_t change : changes) {
    const Operation& op = history[change].operation;
    auto cell = std::lower_bound(cells.begin(), cells.end(), op.offset,
                                 [](const Cell& c, std::uint64_t at) { return c.begin < at; });
    for (; cell != cells.end() && cell->begin < op.offset + op.count; ++cell) {
      const std::int64_t before = cell->ended_by.empty() ? INT64_MIN : cell->ended_by.back();
      cell->changes.push_back(change);
      cell->ended_by.push_back(std::max(before, history[change].end));
    }
  }
  return cells;
}

namespace {

// A later change that must be seen by the reader hides an earlier one.
bool hides(std::span<const TimedRecord> history, const Sight& sight, std::uint32_t later,
           std::uint32_t earlier, std::size_t reader) {
  const TimedRecord& l = history[later];
  if (!l.ok() || l.operation.kind == OpKind::trim) return false;
  return sight.settled(later, reader) && sight.settled(earlier, later);
}

}  // namespace

void legal_changes(std::span<const TimedRecord> history, const Sight& sight, const Cell& cell,
                   std::size_t reader, Legal& legal) {
  legal.changes.clear();
  legal.anything = false;
  legal.overwriter = -1;
  const TimedRecord& read = history[reader];
  // The last that ended before the read and must be seen hides what ended
  // before it began, and what was there before all of them.
  for (std::size_t i = cell.changes.size(); i-- > 0 && legal.overwriter < 0;) {
    const TimedRecord& change = history[cell.changes[i]];
    if (!change.ok() || change.operation.kind == OpKind::trim) continue;
    if (sight.settled(cell.changes[i], reader)) legal.overwriter = cell.changes[i];
  }
  if (legal.overwriter < 0) {
    legal.anything = true;
    return;
  }
  const std::int64_t from = history[static_cast<std::size_t>(legal.overwriter)].begin;
  for (std::size_t i = cell.changes.size(); i-- > 0;) {
    // With one session the last one hides all that ended before it began.
    if (sight.one_session() && cell.ended_by[i] < from) break;
    const std::uint32_t index = cell.changes[i];
    const TimedRecord& change = history[index];
    if (change.begin > read.end) continue;
    bool hidden = false;
    if (sight.one_session()) {
      hidden = change.end < from;
    } else {
      for (std::size_t j = i + 1; j < cell.changes.size() && !hidden; ++j)
        hidden = hides(history, sight, cell.changes[j], index, reader);
    }
    if (hidden) continue;
    if (change.operation.kind == OpKind::trim || !sight.related(index, reader)) {
      legal.anything = true;
      return;
    }
    legal.changes.push_back(index);
  }
}

std::size_t match_change(const Operation& change, std::span<const std::byte> data,
                         std::uint64_t offset) {
  if (change.kind == OpKind::zero) return match_fill(data, std::byte{0});
  switch (change.payload) {
    case Payload::tags:
      return match_tags(data, offset, change.tag);
    case Payload::zeroes:
      return match_fill(data, std::byte{0});
    case Payload::ones:
      return match_fill(data, std::byte{0xff});
  }
  return 0;
}

}  // namespace nbdcheck
