// How a run's time and operations are shared out among the checks.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "checks/check.hpp"
#include "job.hpp"

namespace nbdcheck {

// One child: a check, or one round of a long one.
struct Share {
  const Check* check;
  unsigned round;  // 0, 1, ...: each with a seed of its own
  double seconds;
  std::uint64_t operations;
};

// `total_seconds` 0: as the effort says.  `jobs` children run at once.
std::vector<Share> share_out(std::span<const Check* const> checks, const Subject& subject,
                             Effort effort, double total_seconds, unsigned jobs);

// When a run of one check alone, with its share of the time, has ended by
// itself at the latest, in seconds; findings included that take long to shrink.
double longest(const Check& check, std::span<const Check* const> checks, Effort effort);

}  // namespace nbdcheck
