#include "checks/concurrent_check.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "checks/beside_nbdkit.hpp"
#include "checks/sequence_check.hpp"
#include "judge/concurrent_failures.hpp"
#include "nbdcheck/status_page.hpp"

namespace nbdcheck {
namespace {

// A replay is given up after this long.
constexpr double replay_seconds = 5;

// Connections at once, where there can be several.
constexpr unsigned connections = 3;

// A request that fails beside others is sent again, alone.
constexpr std::size_t alone_at_once = 100;
constexpr std::uint64_t fewest_alone = 2000;
constexpr std::chrono::seconds longest_alone{2};

bool spreads(const Subject& subject) { return subject.thread_model == ThreadModel::parallel; }

}  // namespace

std::vector<std::string_view> rules_of_scenes() {
  return {"concurrency.regular",       "concurrency.convergence", "concurrency.torn-sector",
          "concurrency.multi-conn",    "concurrency.atomic",      "concurrency.interning",
          "concurrency.needless-error"};
}

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
  aim.max_request = subject.maximum_request();
  aim.can_zero = info.zero != zero_none;
  aim.can_trim = info.can_trim;
  aim.can_flush = info.can_flush;
  aim.can_fua = info.fua != fua_none;
  aim.can_cache = info.cache != cache_none;
  aim.can_extents = maps_extents(subject);
  aim.spread = spreads(subject);
  aim.shared =
      info.advertises_multi_conn && info.can_flush && subject.persistence == Persistence::shared;
  aim.connections = subject.together(connections);
  if (SceneMaker::smallest_export(aim) > aim.size) aim.connections = 1;
  return aim;
}

std::string needs_concurrency(const Subject& subject) {
  if (const std::string why = needs_writing(subject); !why.empty()) return why;
  if (!spreads(subject) && subject.together(2) < 2) return needs_two_connections(subject);
  if (!subject.stable_contents) return "contents change by themselves";
  const SceneAim aim = scene_aim(subject);
  if (SceneMaker::smallest_export(aim) > aim.size || (!aim.spread && aim.connections < 2))
    return "too small for requests that do not meet";
  return "";
}

namespace {

// Whether the request is served each time when no other one runs: a plugin that
// fails now and then would fail some of them, too.  More of them than there were
// before, as nobody knows how seldom it fails.
bool is_served_alone(CheckRun& run, ConcurrentRunner& runner, Operation op) {
  op.round = 0;
  const std::vector<Operation> again(alone_at_once, op);
  const std::uint64_t enough = run.operations() + std::max(fewest_alone, 6 * run.operations());
  const auto end = std::chrono::steady_clock::now() + longest_alone;
  do {
    const auto history = runner.run(again, run.random().next());
    run.count_operations(history.size());
    if (!std::ranges::all_of(history, [](const TimedRecord& record) { return record.ok(); }))
      return false;
  } while (run.operations() < enough && std::chrono::steady_clock::now() < end);
  return true;
}

ConcurrentVerdict run_and_judge(CheckRun& run, ConcurrentRunner& runner,
                                std::span<const Operation> operations, std::uint64_t seed) {
  const auto history = runner.run(operations, seed);
  run.count_operations(history.size());
  ConcurrentVerdict verdict = judge_concurrent(history, concurrent_rules(run));
  if (!verdict.violations.empty()) return verdict;
  if (const auto failure = find_needless_failure(history)) {
    Violation violation = describe_needless_failure(history, *failure);
    // The history ends with the next requests.
    if (is_served_alone(run, runner, Operation(history[failure->read].operation)))
      verdict.violations.push_back(std::move(violation));
  }
  return verdict;
}

}  // namespace

bool run_scene(CheckRun& run, ConcurrentRunner& runner, std::span<const Operation> operations) {
  run.log().restart();
  for (const Operation& op : operations) run.log().append(op);
  ConcurrentVerdict verdict = run_and_judge(run, runner, operations, run.random().next());
  if (verdict.undecided_sectors > 0)
    run.unknown(fmt::format("the order of operations on {} sectors would take too long to find",
                            verdict.undecided_sectors));
  if (verdict.violations.empty()) return true;
  // The others tell of the same.
  run.violated_in_sequence(std::move(verdict.violations.front()));
  return false;
}

void run_scenes(CheckRun& run, Target& target) {
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

void run_scenes_in_process(CheckRun& run, const char* phase, const Interfere& interfere) {
  const auto server = run.serve();
  if (!server) return;
  set_phase(phase);
  {
    const auto interference = interfere ? interfere(run, *server) : nullptr;
    const std::string why = interference ? interference->unavailable() : "";
    if (why.empty()) {
      InProcessTarget target(*server);
      run_scenes(run, target);
      if (const std::string remark = interference ? interference->remark() : ""; !remark.empty())
        run.remark(remark);
    } else {
      run.not_applicable(why);
    }
  }
  if (!run.found_any()) server->stop();
  run.report_incidents();
}

namespace {

// False: something was found.
bool repeat_plan(CheckRun& run, const Plan& plan, Target& target) {
  set_phase("running requests at once");
  const double limit = run.job().trial ? run.job().seconds : replay_seconds;
  const unsigned repeat = run.job().repeat;
  const double begin = run.seconds_left();
  const auto time_left = [&] { return begin - run.seconds_left() < limit; };
  unsigned runs = 0;
  unsigned shown = 0;
  ConcurrentVerdict first;
  {
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
      ConcurrentVerdict verdict =
          run_and_judge(run, runner, plan.operations, derive_seed(run.random().next(), "stagger"));
      ++runs;
      if (!verdict.violations.empty() && shown++ == 0) first = std::move(verdict);
      if (run.incidents().has_news()) run.report_incidents();
      runner.close_all();
    }
  }
  if (shown >= (run.job().trial && repeat == 0 ? 2U : 1U)) {
    run.log().restart();
    run.violated(std::move(first.violations.front()), shown, runs);
  }
  return !run.found_any();
}

}  // namespace

void run_concurrent_plan(CheckRun& run, const Plan& plan) {
  if (run.job().where == Job::Where::nbdkit)
    return in_nbdkit(run, run.request().arguments,
                     [&](Target& target) { repeat_plan(run, plan, target); });
  const auto server = run.serve();
  if (!server) return;
  bool good = true;
  {
    const Check* const check = find_check(plan.check);
    const auto interference =
        check != nullptr && check->interfere ? check->interfere(run, *server) : nullptr;
    InProcessTarget target(*server);
    good = repeat_plan(run, plan, target);
  }
  if (good) server->stop();
}

}  // namespace nbdcheck
