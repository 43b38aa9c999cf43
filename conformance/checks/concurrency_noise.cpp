// The scenes of concurrency.stress, on threads that yield and wait in the
// places where plugins go wrong.
#include "checks/concurrent_check.hpp"
#include "checks/concurrent_noise.hpp"
#include "nbdcheck/status_page.hpp"

namespace nbdcheck {
namespace {

void with_noise(CheckRun& run) {
  const auto server = run.serve();
  if (!server) return;
  set_phase("running requests at once, with noise");
  {
    const auto noise = make_noise(run, *server);
    run_scenes(run, *server);
  }
  if (!run.found_any()) server->stop();
  run.report_incidents();
}

const Registration registration{{
    .id = noise_check,
    .summary = "the same, on threads that wait in unfortunate places",
    .rules = {"concurrency.regular", "concurrency.convergence", "concurrency.torn-sector",
              "concurrency.multi-conn", "concurrency.atomic"},
    .weight = 2,
    .not_applicable = needs_concurrency,
    .run = with_noise,
}};

}  // namespace
}  // namespace nbdcheck
