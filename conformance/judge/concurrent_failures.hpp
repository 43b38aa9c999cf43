// Reads that fail only because other requests run.
#pragma once

#include <cstddef>
#include <optional>
#include <span>

#include "history.hpp"

namespace nbdcheck {

struct NeedlessFailure {
  std::size_t read;   // that failed
  std::size_t other;  // that ran at the time
  std::size_t after;  // a read that found some of the same bytes later
};

// A read that failed while another request ran, on a connection that had
// written or read each of its bytes before and read each of them afterwards:
// the place is good, and the connection is.  Errors that tell of a shortage do
// not count.  What this cannot tell apart is chance: who asks must send the read
// again, alone.
std::optional<NeedlessFailure> find_needless_failure(std::span<const TimedRecord> history);

Violation describe_needless_failure(std::span<const TimedRecord> history,
                                    const NeedlessFailure& failure);

}  // namespace nbdcheck
