// Noise for checks that run requests at once.
#pragma once

#include <memory>

#include "checks/check_run.hpp"
#include "nbdcheck/noise.hpp"

namespace nbdcheck {

inline constexpr std::string_view noise_check = "concurrency.noise";

// In the plugin's calls, and at the instructions that requests of each kind
// execute.  REQUIRES: no connection is open; the noise ends before the plugin
// is unloaded.
std::unique_ptr<Noise> make_noise(CheckRun& run, Server& server);

}  // namespace nbdcheck
