// The commands that touch a plugin: `nbdcheck PLUGIN ...` and `nbdcheck replay`.
#pragma once

#include "cli/options.hpp"

namespace nbdcheck {

// Exit codes: 0 conformant, 1 findings, 2 bad input, 3 our own failure,
// 4 nothing was checked.
int run_command(const Options& options);
int replay_command(const Options& options);
int judge_command(const Options& options);

}  // namespace nbdcheck
