// Making a finding of one request after the other smaller.
#include <fmt/format.h>

#include "plan/shrink.hpp"
#include "runner/families.hpp"
#include "runner/process_rules.hpp"
#include "runner/runner.hpp"
#include "runner/seconds.hpp"

namespace nbdcheck {
Plan Runner::plan_for(const Finding& finding, std::vector<Operation> operations) const {
  Plan plan;
  plan.check = finding.check;
  plan.rule = finding.rule;
  plan.plugin = options_.plugin_as_given;
  plan.arguments = options_.arguments_as_given;
  plan.sha256 = options_.sha256;
  plan.export_name = options_.request.export_name;
  plan.readonly = options_.request.readonly;
  plan.seed = options_.request.seed;
  if (const Check* check = find_check(finding.check)) plan.buffers = check->buffers;
  if (operations.empty()) plan.schedule = finding.schedule;
  plan.operations = std::move(operations);
  return plan;
}

Finding Runner::shrink_finding(const Finding& finding, const JobReport& report) {
  if (options_.in_process) return finding;
  if (concurrent(report.log)) return shrink_concurrent_finding(finding, report);
  const auto begin = std::chrono::steady_clock::now();
  unsigned processes = 0;
  Finding best = finding;
  best.original_operations = report.log.size();
  const Subject subject = summary_.subject.value_or(Subject{});
  const bool by_end = report.end.kind != ChildEnd::Kind::finished;
  bool trial = true;
  const auto fails = [&](const Plan& candidate) {
    Job job = job_for(finding.check);
    job.kind = Job::Kind::plan;
    job.plan_text = to_text(candidate);
    if (seen_in_nbdkit(finding.rule, finding.check)) job.where = Job::Where::nbdkit;
    job.trial = trial;
    ++processes;
    const JobReport again =
        children_.run(job, {std::min(options_.stall, std::chrono::milliseconds(5000)), {}, false});
    if (by_end) {
      if (!same_fault(again.end, report.end)) return false;
      if (auto seen = finding_from_end(again.end, finding.check)) {
        best.message = seen->message;
        best.actual = seen->actual;
        best.details = seen->details;
      }
      return true;
    }
    for (const ChildEvent& event : again.findings) {
      // The other fault is near, and not what is looked for.
      if (stands_alone(finding) ? event.finding.rule != finding.rule
                                : !still_shows(event.finding.rule, finding.rule))
        continue;
      const std::size_t original = best.original_operations;
      best = event.finding;
      best.check = finding.check;
      best.original_operations = original;
      return true;
    }
    return false;
  };
  Shrunk shrunk =
      shrink(plan_for(finding, report.log), fails, shrink_limits(options_.request.effort, subject));
  // What was left may be contents that change slowly by themselves.
  trial = false;
  if (shrunk.reproduced && is_about_contents(best.rule) && !fails(shrunk.plan)) {
    best = finding;
    best.original_operations = report.log.size();
    shrunk.plan = plan_for(finding, report.log);
    shrunk.reproduced = false;
  }
  count_shrinking(finding, begin, processes);
  if (!shrunk.reproduced) {
    best.details.insert(
        best.details.begin(),
        fmt::format("(seen once after {} operations; running them again did not show it)",
                    report.log.size()));
    if (report.log.size() > 2000) return best;
  }
  best.plan = shrunk.plan;
  if (shrunk.reproduced && !by_end && is_what_was_read(best.rule)) look_for_buffers(best);
  best.plan->rule = best.rule;
  return best;
}

void Runner::count_shrinking(const Finding& finding, std::chrono::steady_clock::time_point begin,
                             unsigned processes) {
  if (finding.check == "probe") return;  // part of the start-up
  const std::lock_guard lock(mutex_);
  summary_.time.shrinking.seconds += seconds_since(begin);
  summary_.time.shrinking.processes += processes;
}

// Wrong contents may come from a buffer that was left unfilled or was kept:
// the same few requests with guarded buffers tell.
void Runner::look_for_buffers(Finding& finding) {
  Plan guarded = *finding.plan;
  guarded.buffers = BufferMode::guarded;
  Job job = job_for(finding.check);
  job.kind = Job::Kind::plan;
  job.plan_text = to_text(guarded);
  const auto begin = std::chrono::steady_clock::now();
  const JobReport report = children_.run(job, {options_.stall, {}, false});
  count_shrinking(finding, begin, 1);
  std::vector<Finding> seen;
  for (const ChildEvent& event : report.findings) seen.push_back(event.finding);
  if (auto end = finding_from_end(report.end, finding.check)) seen.push_back(std::move(*end));
  for (Finding& cause : seen) {
    if (cause.rule.rfind("data.buffer-", 0) != 0) continue;
    cause.check = finding.check;
    cause.original_operations = finding.original_operations;
    cause.plan = std::move(guarded);
    finding = std::move(cause);
    return;
  }
}

}  // namespace nbdcheck
