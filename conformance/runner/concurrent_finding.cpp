// Making a finding of requests that ran at once smaller, and telling how often
// its plan shows it.
#include <fmt/format.h>

#include <algorithm>

#include "plan/shrink_concurrent.hpp"
#include "runner/families.hpp"
#include "runner/process_rules.hpp"
#include "runner/runner.hpp"

namespace nbdcheck {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

// A candidate is tried for this many times as long as the plan took to show
// the fault, within limits.
constexpr double patience = 6;
constexpr double least_seconds = 0.03;
constexpr double most_seconds = 0.4;

constexpr double first_seconds = 1.5;  // until it is shown again for the first time
constexpr double rated_seconds = 1;
constexpr unsigned rated_runs = 100'000;
constexpr unsigned rated_processes = 4;

}  // namespace

// One process that runs the plan until it fails, or for so long.
std::optional<Finding> Runner::try_concurrent(const Plan& plan, const Finding& finding,
                                              const ChildEnd* wanted, double seconds,
                                              unsigned repeat) {
  Job job = job_for(finding.check);
  job.kind = Job::Kind::plan;
  job.plan_text = to_text(plan);
  job.trial = true;
  if (seen_in_nbdkit(finding.rule, finding.check)) job.where = Job::Where::nbdkit;
  job.repeat = repeat;
  job.seconds = seconds;
  const JobReport report =
      children_.run(job, {std::min(options_.stall, milliseconds(5000)), {}, false});
  if (wanted != nullptr) {
    if (!same_fault(report.end, *wanted)) return std::nullopt;
    return finding_from_end(report.end, finding.check, options_.request.plugin);
  }
  for (const ChildEvent& event : report.findings) {
    if (!same_family(event.finding.rule, finding.rule)) continue;
    Finding seen = event.finding;
    seen.check = finding.check;
    return seen;
  }
  return std::nullopt;
}

Finding Runner::shrink_concurrent_finding(const Finding& finding, const JobReport& report) {
  const auto begin = Clock::now();
  const ChildEnd* wanted = report.end.kind == ChildEnd::Kind::finished ? nullptr : &report.end;
  unsigned processes = 0;
  double seconds = first_seconds;
  Finding best = finding;
  bool timed = false;
  const auto fails = [&](const Plan& candidate) {
    ++processes;
    const bool at_once = concurrent(candidate.operations);
    const auto start = Clock::now();
    auto seen = try_concurrent(candidate, finding, wanted, at_once ? seconds : 10, 0);
    if (!seen) return false;
    if (at_once && !timed) {
      timed = true;
      const std::chrono::duration<double> taken = Clock::now() - start;
      seconds = std::clamp(taken.count() * patience, least_seconds, most_seconds);
    }
    best = std::move(*seen);
    return true;
  };
  ShrinkLimits limits =
      shrink_limits(options_.request.effort, summary_.subject.value_or(Subject{}));
  limits.time /= 2;  // it is tried more often than it fails

  const Plan plan = plan_for(finding, report.log);
  Shrunk shrunk = shrink_concurrent(plan, fails, limits);
  best.original_operations = report.log.size();
  if (!shrunk.reproduced) {
    best = finding;
    best.original_operations = report.log.size();
    best.details.insert(best.details.begin(),
                        "(seen once; running the same requests again did not show it)");
    best.plan = plan;
  } else {
    best.plan = std::move(shrunk.plan);
    if (concurrent(best.plan->operations)) processes += rate(best, wanted);
  }
  best.plan->rule = best.rule;
  count_shrinking(finding, begin, processes);
  return best;
}

// How often the plan shows it.
unsigned Runner::rate(Finding& finding, const ChildEnd* wanted) {
  std::string words;
  unsigned processes = 1;
  if (wanted == nullptr) {
    const auto seen = try_concurrent(*finding.plan, finding, nullptr, rated_seconds, rated_runs);
    if (seen && seen->runs > 0) {
      finding.shown = seen->shown;
      finding.runs = seen->runs;
    }
    words = seen ? fmt::format("this plan showed it in {} of {} runs", seen->shown, seen->runs)
                 : "this plan showed it once, and not again within a second of runs";
  } else {
    unsigned shown = 0;
    for (processes = 0; processes < rated_processes; ++processes)
      if (try_concurrent(*finding.plan, finding, wanted, most_seconds, 0)) ++shown;
    words = fmt::format("this plan, run again and again for {} s, showed it in {} of {} processes",
                        most_seconds, shown, processes);
  }
  finding.details.insert(finding.details.begin(), words);
  return processes;
}

}  // namespace nbdcheck
