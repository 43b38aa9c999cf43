// The job of a child that runs the script written for a finding, to see whether
// the real nbdkit shows it, too.
#pragma once

#include <functional>
#include <string_view>

#include "job.hpp"

namespace nbdcheck {

// Emits `reproduced`, or `unknown` where the script could not run.
void reproduce(const Job& job, const std::function<void(std::string_view)>& emit);

}  // namespace nbdcheck
