// Short scenes in which requests collide, on several threads and connections at
// once, as many as the time allows.
#include "checks/concurrent_check.hpp"

namespace nbdcheck::checks::concurrency_stress {
namespace {

const Registration registration{{
    .id = "concurrency.stress",
    .summary = "requests that collide, on several threads and connections at once",
    .rules = rules_of_scenes(),
    .weight = 3,
    .not_applicable = needs_concurrency,
    .run = [](CheckRun& run) { run_scenes_in_process(run, "running requests at once"); },
    .at_once = true,
    .seeded = true,
}};

}  // namespace
}  // namespace nbdcheck::checks::concurrency_stress
