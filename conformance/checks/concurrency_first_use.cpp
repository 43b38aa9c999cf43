// The first requests of a process come at once, in one process after another:
// a race at first use has one chance in each.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "checks/concurrent_check.hpp"
#include "checks/patience.hpp"
#include "checks/trial.hpp"
#include "nbdcheck/status_page.hpp"

namespace nbdcheck::checks::concurrency_first_use {
namespace {

using std::chrono::milliseconds;

class Quiet final : public Observer {};

constexpr std::string_view broken = "broken";

Operation make(OpKind kind, unsigned connection, unsigned thread, unsigned round) {
  Operation op;
  op.kind = kind;
  op.connection = static_cast<std::uint8_t>(connection);
  op.thread = static_cast<std::uint8_t>(thread);
  op.round = static_cast<std::uint16_t>(round);
  return op;
}

// All connect, all write, each a place of its own, and all look whether it is
// there.
std::vector<Operation> first_requests(const Subject& subject, unsigned threads, bool neighbours) {
  const SceneAim aim = scene_aim(subject);
  const bool spread = aim.spread;
  if (!spread) threads = std::min(threads, aim.connections);
  const std::uint64_t block = std::max<std::uint64_t>(aim.block, 512);
  std::uint64_t apart = aim.size / threads / block * block;
  if (spread && neighbours) apart = block;
  std::vector<Operation> plan;
  const unsigned connections = spread ? 1 : threads;
  for (unsigned c = 0; c < connections; ++c) plan.push_back(make(OpKind::open, c, c, 0));
  for (unsigned round = 1; round <= 2; ++round) {
    for (unsigned t = 0; t < threads; ++t) {
      Operation op = make(round == 1 ? OpKind::write : OpKind::read, spread ? 0 : t, t, round);
      op.offset = t * apart;
      op.count = static_cast<std::uint32_t>(block);
      if (round == 1) op.tag = t + 1;
      plan.push_back(op);
    }
  }
  for (unsigned c = 0; c < connections; ++c) plan.push_back(make(OpKind::close, c, c, 3));
  return plan;
}

// The same after each place was written and read, one request at a time.
std::vector<Operation> after_others(const std::vector<Operation>& first) {
  std::vector<Operation> plan;
  unsigned round = 0;
  for (const Operation& op : first)
    if (op.kind == OpKind::open) plan.push_back(op);
  for (const Operation& op : first) {
    if (!has_range(op.kind)) continue;
    plan.push_back(op);
    plan.back().round = static_cast<std::uint16_t>(++round);
    if (op.kind == OpKind::write) plan.back().tag += 100;
  }
  for (const Operation& op : first) {
    if (op.kind == OpKind::open) continue;
    plan.push_back(op);
    plan.back().round = static_cast<std::uint16_t>(op.round + round);
  }
  return plan;
}

// The whole life of a process; says what is wrong with it.
void live(const CheckRun& run, const Trial& trial, const std::vector<Operation>& plan,
          std::uint64_t seed) {
  Quiet observer;
  auto server = Server::load(run.request().plugin, run.server_options(), observer);
  if (!server || !(*server)->configure(run.request().arguments) || !(*server)->start())
    trial.finish();
  {
    InProcessTarget target(**server);
    ConcurrentOptions options;
    options.export_name = run.request().export_name;
    options.stagger_nanoseconds = 300;
    ConcurrentRunner runner(target, run.subject().info.size, options);
    const auto history = runner.run(plan, seed);
    const ConcurrentVerdict verdict = judge_concurrent(history, concurrent_rules(run));
    if (!verdict.violations.empty()) {
      const Violation& v = verdict.violations.front();
      trial.say(std::string(broken));
      trial.say(v.message);
      trial.say(v.expected);
      trial.say(v.actual);
      for (const std::string& line : v.details) trial.say(line);
    }
  }
  trial.say("served");
  trial.finish();
}

bool ended_well(const TrialEnd& end) {
  return end.kind == TrialEnd::Kind::finished && !end.lines.empty() &&
         end.lines.back() == "served" && end.lines.front() != broken;
}

Violation violation(const TrialEnd& end, unsigned shown, unsigned processes) {
  Violation v;
  v.rule = "concurrency.first-use";
  v.expected = "the same as when they come one after the other";
  const std::string where = fmt::format(
      "Of {} processes whose first requests came at once, {} went wrong; one after the other they "
      "go well.",
      processes, shown);
  if (end.kind == TrialEnd::Kind::finished && end.lines.size() >= 4 && end.lines[0] == broken) {
    v.message = where + " " + end.lines[1];
    v.expected = end.lines[2];
    v.actual = end.lines[3];
    v.details.assign(end.lines.begin() + 4, end.lines.end() - 1);
  } else {
    v.message = where;
    v.actual = end.words();
  }
  return v;
}

void first_use(CheckRun& run) {
  if (run.job().in_process) return run.unknown("needs processes of its own");
  set_phase("first requests, in one process after another");
  const auto attempt = [&](const std::vector<Operation>& plan, std::uint64_t seed) {
    run.count_operations(plan.size());
    return run_trial([&](const Trial& trial) { live(run, trial, plan, seed); }, milliseconds(5000));
  };
  const Patience patience(
      std::chrono::duration<double>(run.request().effort == Effort::quick ? 0.12 : 1.5));
  const unsigned most = run.request().effort == Effort::quick ? 40 : 400;
  unsigned shown = 0;
  TrialEnd first;
  std::vector<Operation> guilty;
  unsigned processes = 0;
  for (; processes < most && shown < 3 && (processes < 4 || !patience.over()); ++processes) {
    const auto plan = first_requests(run.subject(), processes % 4 == 3 ? 4 : 2, processes % 2 == 0);
    TrialEnd end = attempt(plan, run.random().next());
    if (ended_well(end)) continue;
    if (end.kind == TrialEnd::Kind::finished && (end.lines.empty() || end.lines.front() != broken))
      return run.unknown("a second process could not be started: " + end.words());
    if (shown++ == 0) {
      first = std::move(end);
      guilty = plan;
    }
  }
  // A busy machine may keep one process waiting, but not several.
  if (shown == 0 || (first.kind == TrialEnd::Kind::out_of_time && shown < 2)) return;
  // What goes wrong later as well is no matter of first use.
  const auto later = after_others(guilty);
  for (unsigned i = 0; i < processes + 8; ++i)
    if (!ended_well(attempt(later, run.random().next()))) return;
  // And whatever goes wrong without company is not for this check to say.
  std::vector<Operation> alone = guilty;
  for (Operation& op : alone) op.round = static_cast<std::uint16_t>(op.round * 8 + op.thread);
  std::stable_sort(alone.begin(), alone.end(),
                   [](const Operation& a, const Operation& b) { return a.round < b.round; });
  for (int i = 0; i < 3; ++i)
    if (!ended_well(attempt(alone, run.random().next()))) return;
  run.violated(violation(first, shown, processes));
}

std::string not_applicable(const Subject& subject) {
  if (const std::string why = needs_concurrency(subject); !why.empty()) return why;
  if (subject.thread_model == ThreadModel::serialize_all_requests)
    return "requests never overlap (serialize_all_requests)";
  return "";
}

const Registration registration{{
    .id = "concurrency.first-use",
    .summary = "the first requests of a process come at once",
    .rules = {"concurrency.first-use"},
    .not_applicable = not_applicable,
    .run = first_use,
    .at_once = true,
    .seeded = true,
}};

}  // namespace
}  // namespace nbdcheck::checks::concurrency_first_use
