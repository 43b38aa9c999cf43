// A finding on the real nbdkit: the script that shows it, and what came of it.
#include <fmt/format.h>

#include "report/nbdsh.hpp"
#include "runner/process_rules.hpp"
#include "runner/runner.hpp"
#include "text/printable.hpp"

namespace nbdcheck {

void Runner::show_on_nbdkit(Finding& finding, const Plan& plan) {
  std::string why = options_.no_script;
  if (why.empty()) why = why_not_over_nbd(finding, plan);
  if (!why.empty()) {
    finding.on_nbdkit = "no script: " + why;
    if (concurrent(plan.operations)) run_on_nbdkit(finding, plan);
    return;
  }
  // Without one it did not get as far as serving, which is what to show.
  const Subject subject = summary_.subject.value_or(Subject{});
  NbdshContext context = options_.script;
  context.shared = subject.persistence == Persistence::shared || subject.info.advertises_multi_conn;
  context.stable = subject.stable_contents && !options_.request.unstable_contents;
  context.several = subject.thread_model != ThreadModel::serialize_connections;
  finding.nbdsh_path =
      artifacts_.save_script(nbdsh_script(finding, plan, context), finding.plan_path);
  if (finding.nbdsh_path.empty()) return;
  if (options_.request.nbdkit.empty()) {
    finding.on_nbdkit = "the script was not run: " + options_.request.no_nbdkit;
    return;
  }
  Job job = job_for(finding.check);
  job.kind = Job::Kind::reproduce;
  job.script = finding.nbdsh_path;
  const JobReport report = children_.run(job, {options_.stall, std::chrono::minutes(2), false});
  const std::string nbdkit = "nbdkit " + options_.request.nbdkit_version;
  finding.confirmed_on_nbdkit = report.shown;
  if (!report.shown) {
    const std::string reason = report.unknown.empty() ? report.end.message : report.unknown;
    finding.on_nbdkit = fmt::format("the script could not tell on {}: {}", nbdkit, reason);
  } else if (*report.shown) {
    finding.on_nbdkit = fmt::format("confirmed on {}", nbdkit);
  } else {
    finding.on_nbdkit = fmt::format("not seen on {}, where the script runs without it", nbdkit);
  }
}

// Requests at once need luck, which no script has time for: the plan itself runs
// there, again and again.
void Runner::run_on_nbdkit(Finding& finding, const Plan& plan) {
  const Request& request = options_.request;
  if (request.nbdkit.empty()) return;
  if (seen_in_nbdkit(finding.rule, finding.check)) {
    finding.confirmed_on_nbdkit = true;
    finding.on_nbdkit =
        fmt::format("found on nbdkit {}, where the plan is replayed", request.nbdkit_version);
    return;
  }
  Job job = job_for(finding.check);
  job.kind = Job::Kind::plan;
  job.plan_text = to_text(plan);
  job.where = Job::Where::nbdkit;
  job.trial = true;  // until it was seen twice, or the time is over
  job.seconds = request.effort == Effort::quick ? 0.5 : 2;
  const JobReport report = children_.run(job, {options_.stall, std::chrono::minutes(1), false});
  const std::string nbdkit = "nbdkit " + request.nbdkit_version;
  for (const ChildEvent& event : report.findings) {
    if (event.finding.rule == finding.rule) {
      finding.confirmed_on_nbdkit = true;
      finding.on_nbdkit = fmt::format("confirmed on {} by the plan, in {} of {} runs", nbdkit,
                                      event.finding.shown, event.finding.runs);
      return;
    }
    if (event.finding.rule == "differential.nbdkit-survives") {
      finding.confirmed_on_nbdkit = true;
      finding.on_nbdkit = fmt::format("{} died of the plan: {}", nbdkit, event.finding.actual);
      return;
    }
  }
  finding.on_nbdkit =
      fmt::format("not seen on {} in {} s of runs of the plan", nbdkit, job.seconds);
}

}  // namespace nbdcheck
