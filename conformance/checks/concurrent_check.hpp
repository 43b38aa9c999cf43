// What checks that run requests at once share: what may be asked of the
// plugin, the judge's rules for it, and running a plan until it shows a fault.
#pragma once

#include <cstdint>
#include <string>

#include "checks/check_run.hpp"
#include "execute/concurrent.hpp"
#include "judge/concurrent.hpp"
#include "plan/scenes.hpp"

namespace nbdcheck {

ConcurrentRules concurrent_rules(const CheckRun& run);

// What scenes for this plugin may contain.
SceneAim scene_aim(const Subject& subject);

// Why requests cannot be run at once on it and judged; "" when they can.
std::string needs_concurrency(const Subject& subject);

// Runs the operations once and judges them.  With a violation the operations
// are its plan.  False: something was found.
bool run_scene(CheckRun& run, ConcurrentRunner& runner, std::span<const Operation> operations);

// Scenes, for as long as there is time, or until one shows something.
void run_scenes(CheckRun& run, Server& server);

// Runs the plan again and again: until it shows something, or, with
// Job::repeat, as often as that says, and counts.
void run_concurrent_plan(CheckRun& run, const Plan& plan);

}  // namespace nbdcheck
