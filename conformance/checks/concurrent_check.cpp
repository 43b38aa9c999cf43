#include "checks/concurrent_check.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "checks/concurrent_noise.hpp"
#include "checks/sequence_check.hpp"
#include "nbdcheck/status_page.hpp"

namespace nbdcheck {
namespace {

// A replay is given up after this long.
constexpr double replay_seconds = 5;

// Connections at once, where there can be several.
constexpr unsigned connections = 3;

bool spreads(const Subject& subject) { return subject.thread_model == ThreadModel::parallel; }

}  // namespace

ConcurrentRules concurrent_rules(const CheckRun& run) {
  ConcurrentRules rules;
  rules.multi_conn =
      run.subject().info.advertises_multi_conn && run.subject().persistence == Persistence::shared;
  rules.atomic = run.request().atomic_consistency;
  return rules;
}

SceneAim scene_aim(const Subject& subject) {
  const ExportInfo& info = subject.info;
  SceneAim aim;
  aim.size = info.size;
  aim.block = subject.minimum_block();
  if (info.block_size && info.block_size->maximum != 0 &&
      info.block_size->maximum < max_request_size)
    aim.max_request = info.block_size->maximum;
  aim.can_zero = info.zero != zero_none;
  aim.can_trim = info.can_trim;
  aim.can_flush = info.can_flush;
  aim.can_fua = info.fua != fua_none;
  aim.can_cache = info.cache != cache_none;
  aim.can_extents = maps_extents(subject);
  aim.spread = spreads(subject);
  aim.shared =
      info.advertises_multi_conn && info.can_flush && subject.persistence == Persistence::shared;
  aim.connections = subject.thread_model == ThreadModel::serialize_connections ? 1 : connections;
  if (SceneMaker::smallest_export(aim) > aim.size) aim.connections = 1;
  return aim;
}

std::string needs_concurrency(const Subject& subject) {
  if (const std::string why = needs_writing(subject); !why.empty()) return why;
  if (subject.thread_model == ThreadModel::serialize_connections)
    return "one connection at a time (serialize_connections)";
  if (!subject.stable_contents) return "contents change by themselves";
  const SceneAim aim = scene_aim(subject);
  if (SceneMaker::smallest_export(aim) > aim.size || (!aim.spread && aim.connections < 2))
    return "too small for requests that do not meet";
  return "";
}

bool run_scene(CheckRun& run, ConcurrentRunner& runner, std::span<const Operation> operations) {
  run.log().restart();
  for (const Operation& op : operations) run.log().append(op);
  const auto history = runner.run(operations, run.random().next());
  run.count_operations(history.size());
  ConcurrentVerdict verdict = judge_concurrent(history, concurrent_rules(run));
  if (verdict.undecided_sectors > 0)
    run.unknown(fmt::format("the order of operations on {} sectors would take too long to find",
                            verdict.undecided_sectors));
  if (verdict.violations.empty()) return true;
  // The others tell of the same.
  run.violated_in_sequence(std::move(verdict.violations.front()));
  return false;
}

void run_scenes(CheckRun& run, Server& server) {
  InProcessTarget target(server);
  ConcurrentOptions options;
  options.export_name = run.request().export_name;
  ConcurrentRunner runner(target, run.subject().info.size, options);
  SceneAim aim = scene_aim(run.subject());
  aim.atomic = run.request().atomic_consistency;
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

void run_concurrent_plan(CheckRun& run, const Plan& plan) {
  const auto server = run.serve();
  if (!server) return;
  set_phase("running requests at once");
  const double limit = run.job().trial ? run.job().seconds : replay_seconds;
  const unsigned repeat = run.job().repeat;
  const double begin = run.seconds_left();
  const auto time_left = [&] { return begin - run.seconds_left() < limit; };
  unsigned runs = 0;
  unsigned shown = 0;
  ConcurrentVerdict first;
  {
    const auto noise = plan.check == noise_check ? make_noise(run, *server) : nullptr;
    InProcessTarget target(*server);
    ConcurrentOptions options;
    options.export_name = plan.export_name;
    ConcurrentRunner runner(target, run.subject().info.size, options);
    // A replay runs as often as it was told to.
    const auto more = [&] {
      if (runs == 0) return true;
      // A candidate of shrinking must fail twice: luck is not a plan.
      if (repeat == 0) return shown < (run.job().trial ? 2U : 1U) && time_left();
      return runs < repeat && (!run.job().trial || time_left());
    };
    while (more()) {
      const auto history = runner.run(plan.operations, derive_seed(run.random().next(), "stagger"));
      run.count_operations(history.size());
      ++runs;
      ConcurrentVerdict verdict = judge_concurrent(history, concurrent_rules(run));
      if (!verdict.violations.empty() && shown++ == 0) first = std::move(verdict);
      if (run.incidents().has_news()) run.report_incidents();
      runner.close_all();
    }
  }
  if (shown >= (run.job().trial && repeat == 0 ? 2U : 1U)) {
    run.log().restart();
    run.violated(std::move(first.violations.front()), shown, runs);
  }
  if (!run.found_any()) server->stop();
}

}  // namespace nbdcheck
