// Makes a failing concurrent plan smaller: fewer rounds, threads, connections,
// operations, shorter ones.  What fails by chance is for the caller to try
// often enough.
#pragma once

#include "plan/shrink.hpp"

namespace nbdcheck {

// A plan that fails as a sequence, too, becomes one, and is shrunk as one.
Shrunk shrink_concurrent(Plan plan, const std::function<bool(const Plan&)>& fails,
                         const ShrinkLimits& limits);

// The same operations one after another, in order of round and thread.
std::vector<Operation> as_sequence(std::span<const Operation> operations);

}  // namespace nbdcheck
