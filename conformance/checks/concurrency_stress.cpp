// Short scenes in which requests collide, on several threads and connections at
// once, as many as the time allows.
#include "checks/concurrent_check.hpp"
#include "nbdcheck/status_page.hpp"

namespace nbdcheck {
namespace {

void stress(CheckRun& run) {
  const auto server = run.serve();
  if (!server) return;
  set_phase("running requests at once");
  run_scenes(run, *server);
  if (!run.found_any()) server->stop();
  run.report_incidents();
}

const Registration registration{{
    .id = "concurrency.stress",
    .summary = "requests that collide, on several threads and connections at once",
    .rules = {"concurrency.regular", "concurrency.convergence", "concurrency.torn-sector",
              "concurrency.multi-conn", "concurrency.atomic"},
    .weight = 3,
    .not_applicable = needs_concurrency,
    .run = stress,
}};

}  // namespace
}  // namespace nbdcheck
