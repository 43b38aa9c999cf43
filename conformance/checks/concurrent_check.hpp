// What checks that run requests at once share: what may be asked of the
// plugin, the judge's rules for it, and running a plan until it shows a fault.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "checks/check_run.hpp"
#include "execute/concurrent.hpp"
#include "judge/concurrent.hpp"
#include "plan/scenes.hpp"

namespace nbdcheck {

// What running scenes may show.
std::vector<std::string_view> rules_of_scenes();

ConcurrentRules concurrent_rules(const CheckRun& run);

// What scenes for this plugin may contain.
SceneAim scene_aim(const Subject& subject);

// Why requests cannot be run at once on it and judged; "" when they can.
std::string needs_concurrency(const Subject& subject);

// Runs the operations once and judges them.  With a violation the operations
// are its plan.  False: something was found.
bool run_scene(CheckRun& run, ConcurrentRunner& runner, std::span<const Operation> operations);

// Scenes, for as long as there is time, or until one shows something.
void run_scenes(CheckRun& run, Target& target);
// The same on a server of its own.
void run_scenes_in_process(CheckRun& run, const char* phase, const Interfere& interfere = {});

// Runs the plan again and again: until it shows something, or, with
// Job::repeat, as often as that says, and counts.  In process, or in the real
// nbdkit where the job says so.
void run_concurrent_plan(CheckRun& run, const Plan& plan);

}  // namespace nbdcheck
