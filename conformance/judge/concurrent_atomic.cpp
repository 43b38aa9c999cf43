#include "judge/concurrent_atomic.hpp"

#include <algorithm>

#include "judge/register_history.hpp"

namespace nbdcheck {
namespace {

constexpr std::uint64_t sector = 512;
// The value of zeroes; no operation's index comes near.
constexpr std::uint64_t zeroes = UINT64_MAX;

std::uint64_t value_of(std::span<const TimedRecord> history, std::uint32_t change) {
  const Operation& op = history[change].operation;
  const bool clears = op.kind == OpKind::zero || op.payload == Payload::zeroes;
  return clears ? zeroes : change + 1U;
}

// A cell whose changes are all whole, good, and of related connections; the
// first of them comes before all else, so that what was there before is out of
// sight.
bool is_register(std::span<const TimedRecord> history, const Cell& cell, const Sight& sight) {
  if (cell.changes.empty() || !sight.one_session()) return false;
  const std::int64_t first_end = history[cell.changes.front()].end;
  for (std::size_t i = 0; i < cell.changes.size(); ++i) {
    const TimedRecord& change = history[cell.changes[i]];
    if (!change.ok() || change.operation.kind == OpKind::trim ||
        change.operation.payload == Payload::ones)
      return false;
    if (i > 0 && change.begin <= first_end) return false;
  }
  return true;
}

}  // namespace

AtomicOutcome judge_sector_order(std::span<const TimedRecord> history, std::span<const Cell> cells,
                                 const Sight& sight) {
  RegisterHistory registers;
  const auto enter = [&](RegisterOp::Kind kind, std::uint64_t at, std::uint64_t value,
                         std::size_t record) {
    RegisterOp op;
    op.sector = at / sector;
    op.kind = kind;
    op.value = value;
    op.begin = history[record].begin;
    op.end = history[record].end;
    op.client = history[record].operation.thread;
    op.line = record + 1;
    registers.push_back(op);
  };
  for (const Cell& cell : cells) {
    if (!is_register(history, cell, sight)) continue;
    for (std::uint64_t at = (cell.begin + sector - 1) / sector * sector; at + sector <= cell.end;
         at += sector) {
      for (const std::uint32_t change : cell.changes)
        enter(RegisterOp::Kind::write, at, value_of(history, change), change);
      for (std::size_t i = 0; i < history.size(); ++i) {
        const Operation& op = history[i].operation;
        if (!history[i].ok() || op.kind != OpKind::read || op.offset > at ||
            op.offset + op.count < at + sector ||
            history[i].begin <= history[cell.changes.front()].end)
          continue;
        const auto data = history[i].data.subspan(at - op.offset, sector);
        for (const std::uint32_t change : cell.changes) {
          if (match_change(history[change].operation, data, at) != sector) continue;
          enter(RegisterOp::Kind::read, at, value_of(history, change), i);
          break;
        }
      }
    }
  }
  const RegisterVerdict verdict = judge_registers(registers, Consistency::atomic, 200'000);
  AtomicOutcome outcome;
  outcome.undecided = verdict.undecided.size();
  if (verdict.clashes.empty()) return outcome;
  const RegisterClash& first = verdict.clashes.front();
  SectorClash clash;
  clash.why = first.why;
  for (const RegisterOp* op : first.witness) {
    clash.offset = op->sector * sector;
    clash.witness.push_back(op->line - 1);
  }
  outcome.clash = std::move(clash);
  return outcome;
}

}  // namespace nbdcheck
