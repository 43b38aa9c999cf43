// The scenes of concurrency.stress against the real nbdkit, judged in the same
// way: its own threads call the plugin, several connections where the thread
// model allows, with requests in flight on each.
#include "checks/beside_nbdkit.hpp"
#include "checks/concurrent_check.hpp"

namespace nbdcheck::checks::differential_concurrent {
namespace {

const Registration registration{{
    .id = "differential.concurrent",
    .summary = "the real nbdkit runs requests that collide, at once",
    .rules = {"concurrency.regular", "concurrency.convergence", "concurrency.torn-sector",
              "concurrency.multi-conn", "concurrency.atomic", "concurrency.needless-error",
              "differential.nbdkit-survives"},
    .weight = 1,
    .not_applicable = needs_concurrency,
    .run =
        [](CheckRun& run) {
          in_nbdkit(run, run.job().second_arguments,
                    [&](Target& target) { run_scenes(run, target); });
        },
    .beside_nbdkit = true,
    .at_once = true,
    .seeded = true,
}};

}  // namespace
}  // namespace nbdcheck::checks::differential_concurrent
