// Judges operations that ran at once: every byte that a read returned was put
// there by an operation that may have.  Pure: records in, violations out.
//
// A write may be seen by a read that it overlaps in time, or that begins after
// it, unless another one that began after its end has ended before the read
// began (Lamport's regular register, byte by byte).  So:
//
//   * a zero counts as a write of zeroes, a FUA or a flush orders nothing more
//     on its own connection;
//   * after a trim a byte may be anything until it is written again;
//   * a failed operation may have done its work, in part, or not at all;
//   * large requests are not atomic, not even within a sector (see `atomic`);
//   * what another connection did counts only with can_multi_conn, and only
//     once a flush, or its own FUA, was answered; until then it may be seen;
//     without can_multi_conn it may be seen or not for ever.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "history.hpp"

namespace nbdcheck {

struct ConcurrentRules {
  bool multi_conn = false;  // is advertised, and the connections share their disk
  // Sectors are to be atomic also while requests are in flight:
  // --consistency=atomic.
  bool atomic = false;
};

struct ConcurrentVerdict {
  // At most one for each rule.
  std::vector<Violation> violations;
  // The records of the witness, for each violation, by index.
  std::vector<std::vector<std::size_t>> witnesses;
  std::uint64_t undecided_sectors = 0;
};

ConcurrentVerdict judge_concurrent(std::span<const TimedRecord> history,
                                   const ConcurrentRules& rules);

// The records as a table: threads as columns, time downwards.
std::vector<std::string> space_time_diagram(std::span<const TimedRecord> history,
                                            std::span<const std::size_t> witness);

}  // namespace nbdcheck
