// What the two ways of shrinking share: the best plan so far, and the limits.
#pragma once

#include <chrono>
#include <functional>
#include <utility>
#include <vector>

#include "plan/shrink.hpp"

namespace nbdcheck {

class Attempts {
 public:
  Attempts(Plan plan, const std::function<bool(const Plan&)>& fails, const ShrinkLimits& limits)
      : best_(std::move(plan)),
        fails_(fails),
        limits_(limits),
        end_(std::chrono::steady_clock::now() + limits.time) {}

 protected:
  [[nodiscard]] bool exhausted() const {
    return tries_ >= limits_.tries || std::chrono::steady_clock::now() >= end_;
  }

  // Whether the plan fails, whatever the limits.
  bool fails(const Plan& plan) {
    ++tries_;
    return fails_(plan);
  }

  // Keeps the candidate if it still fails.
  bool attempt(std::vector<Operation> operations) {
    if (exhausted()) return false;
    Plan candidate = best_;
    candidate.operations = std::move(operations);
    if (!fails(candidate)) return false;
    best_ = std::move(candidate);
    return true;
  }

  [[nodiscard]] ShrinkLimits what_is_left() const {
    ShrinkLimits left = limits_;
    left.time = std::chrono::duration_cast<std::chrono::milliseconds>(std::max(
        end_ - std::chrono::steady_clock::now(), std::chrono::steady_clock::duration::zero()));
    return left;
  }

  Shrunk result(bool reproduced, bool finished) {
    Shrunk made;
    made.plan = std::move(best_);
    made.tries = tries_;
    made.reproduced = reproduced;
    made.finished = finished;
    return made;
  }

  Plan best_;
  const std::function<bool(const Plan&)>& fails_;

 private:
  ShrinkLimits limits_;
  std::chrono::steady_clock::time_point end_;
  std::size_t tries_ = 0;
};

}  // namespace nbdcheck
