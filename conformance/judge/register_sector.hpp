// One sector's operations, and the judges of one sector.  Internal to the room.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "judge/register_history.hpp"

namespace nbdcheck {

// What the judges look at, small enough to be sorted about.
struct SectorOp {
  std::uint64_t value;
  std::int64_t begin;
  std::int64_t end;
  const RegisterOp* source;

  [[nodiscard]] bool writes() const { return source->writes(); }
};

// Every read returns a write that overlaps it, or one that ended before it and
// was not wholly followed by another that ended before it, too (Lamport's
// regular register, for several writers).  O(n log n).
class RegularJudge {
 public:
  std::optional<RegisterClash> judge(std::span<const SectorOp> ops);

 private:
  struct Write {
    std::uint64_t value;
    std::int64_t begin;
    std::int64_t end;
    const RegisterOp* source;
    // Of the writes up to this one in the list's order: the one that begins,
    // or ends, last.
    const RegisterOp* last;
  };
  std::vector<Write> by_end_;    // `last` is the one that begins last
  std::vector<Write> by_value_;  // by value, then begin; `last` of the value ends last
};

// All operations can be put in one order that fits the times, in which every
// read returns the value written last (linearizable).  O(n log n), as long as
// no two writes write the same value, 0 excepted; otherwise values_repeat.
class AtomicJudge {
 public:
  enum class Outcome : std::uint8_t { holds, violated, values_repeat };
  Outcome judge(std::span<const SectorOp> ops, RegisterClash& clash);

 private:
  // The operations of one value: from the end that comes first to the begin
  // that comes last.  Forward (first_end < last_begin): the register holds the
  // value all that time.  Backward: one moment in between will do.
  // P. Gibbons, E. Korach: Testing Shared Memories, SIAM J. Comput. 26 (1997).
  struct Zone {
    std::int64_t first_end;
    std::int64_t last_begin;
    const RegisterOp* ends_first;
    const RegisterOp* begins_last;
    [[nodiscard]] bool forward() const { return first_end < last_begin; }
  };
  Outcome collect(std::span<const SectorOp> ops, RegisterClash& clash);
  bool zones_fit(RegisterClash& clash);
  bool zeroes_fit(RegisterClash& clash);
  static RegisterClash clash_of(const Zone& a, const Zone& b, std::string why);

  std::vector<SectorOp> sorted_;  // by value
  std::vector<Zone> forward_;     // by first_end
  std::vector<Zone> backward_;
  std::vector<SectorOp> zero_writes_;
  std::vector<SectorOp> zero_reads_;
};

// The search for an order, for sectors where values repeat.
enum class SearchOutcome : std::uint8_t { holds, violated, over_budget };
SearchOutcome search_order(std::span<const SectorOp> ops, std::size_t budget, RegisterClash& clash);

}  // namespace nbdcheck
