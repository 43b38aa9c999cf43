// Short scenes in which requests collide, on several threads and connections at
// once, as many as the time allows.
#include <algorithm>

#include "checks/concurrent_check.hpp"
#include "nbdcheck/status_page.hpp"

namespace nbdcheck {
namespace {

void stress(CheckRun& run) {
  const auto server = run.serve();
  if (!server) return;
  set_phase("running requests at once");
  {
    InProcessTarget target(*server);
    ConcurrentOptions options;
    options.export_name = run.request().export_name;
    ConcurrentRunner runner(target, run.subject().info.size, options);
    SceneAim aim = scene_aim(run.subject());
    // Where a request takes milliseconds, a scene must not take all the time.
    const double each = static_cast<double>(run.subject().nanoseconds_per_read) * 2e-9;
    if (each > 0)
      aim.most_operations =
          static_cast<std::size_t>(std::clamp(run.seconds_left() / 5 / each, 40.0, 600.0));
    SceneMaker scenes(aim, run.random().next());
    bool good = true;
    do {
      good = run_scene(run, runner, scenes.next());
      if (run.incidents().has_news()) run.report_incidents();
    } while (good && run.budget_left(0.97));
    if (!runner.ever_opened())
      run.unknown("the export could not be opened: " + runner.open_failure());
    runner.close_all();
  }
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
