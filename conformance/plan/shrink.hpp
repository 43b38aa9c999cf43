// Makes a failing plan smaller while it keeps failing.  Knows nothing of
// plugins: whether a candidate still fails is the caller's word.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>

#include "plan/plan.hpp"

namespace nbdcheck {

struct ShrinkLimits {
  std::size_t tries = 300;
  std::chrono::milliseconds time{5000};
};

struct Shrunk {
  Plan plan;
  std::size_t tries = 0;
  bool reproduced = false;  // the plan as given failed again
  bool finished = false;    // nothing smaller fails; false: a limit was reached
};

// `fails` runs a candidate.  REQUIRES: the last operation of `plan` is the one
// that showed the fault.
Shrunk shrink(Plan plan, const std::function<bool(const Plan&)>& fails, const ShrinkLimits& limits);

}  // namespace nbdcheck
