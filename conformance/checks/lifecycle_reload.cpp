// .load and .unload, twice in one process.  nbdkit itself does it once; tests,
// and programs that use several plugins, do it more often.
#include <fmt/format.h>

#include <chrono>

#include "checks/check_run.hpp"
#include "checks/trial.hpp"
#include "nbdcheck/status_page.hpp"

namespace nbdcheck::checks::lifecycle_reload {
namespace {

using std::chrono::milliseconds;

class Quiet final : public Observer {};

// Says the number of each life that ended well.
void live(const CheckRun& run, const Trial& trial, int lives) {
  Quiet observer;
  ServerOptions options;
  options.redirect_stdio = true;
  for (int i = 0; i < lives; ++i) {
    const auto server = Server::load(run.request().plugin, options, observer);
    if (!server) {
      trial.say("failed: " + server.error().message);
      trial.finish();
    }
    (*server)->unload();
    trial.say("unloaded");
  }
  trial.finish();
}

bool well(const TrialEnd& end, std::size_t lives) {
  return end.kind == TrialEnd::Kind::finished && end.lines.size() == lives &&
         end.lines.back() == "unloaded";
}

const Registration registration{{
    .id = "lifecycle.reload",
    .summary = ".load and .unload twice in one process",
    .rules = {"lifecycle.reload"},
    .not_applicable = {},
    .run =
        [](CheckRun& run) {
          if (run.job().in_process) return run.unknown("needs a process of its own");
          const auto attempt = [&](int lives) {
            return run_trial([&](const Trial& trial) { live(run, trial, lives); },
                             milliseconds(5000));
          };
          set_phase("loading and unloading the plugin");
          if (const TrialEnd once = attempt(1); !well(once, 1))
            return run.unknown(".load and .unload alone: " + once.words());
          set_phase("loading and unloading the plugin twice");
          const TrialEnd twice = attempt(2);
          if (well(twice, 2)) return;
          Violation v;
          v.rule = "lifecycle.reload";
          v.message = "The plugin was loaded and unloaded, and could not be loaded again.";
          v.expected = ".unload undoes what .load did";
          v.actual = twice.kind == TrialEnd::Kind::finished && !twice.lines.empty()
                         ? twice.lines.back()
                         : twice.words();
          run.violated(std::move(v));
        },
}};

}  // namespace
}  // namespace nbdcheck::checks::lifecycle_reload
