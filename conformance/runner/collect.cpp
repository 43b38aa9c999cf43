// What the process of a check brought home: its status, its findings, its end.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "instruments/reports.hpp"
#include "nbdcheck/instruments.hpp"
#include "runner/families.hpp"
#include "runner/process_rules.hpp"
#include "runner/runner.hpp"
#include "text/shell.hpp"
#include "waivers/apply.hpp"

namespace nbdcheck {

void Runner::collect(const std::string& check, JobReport report) {
  Status status = Status::passed;
  std::string reason = report.remark;
  if (trap_was_blocked(report.end, check)) {
    report.end.kind = ChildEnd::Kind::time_limit;
    report.end.message =
        "the plugin blocks SIGTRAP, by which its threads are stopped in this check";
  }
  if (gave_up_without_memory(report.end) &&
      !first_report(report.end.standard_error, options_.request.plugin)) {
    report.end.kind = ChildEnd::Kind::time_limit;
    report.end.message = "the plugin ends the process where nbdkit_add_extent fails";
  }
  if (stood_still_by_itself(report.end)) {
    report.end.kind = ChildEnd::Kind::time_limit;
    report.end.message = fmt::format(
        "nbdcheck itself stood still while {}, with no thread in the plugin: please report this",
        report.end.phase);
  }
  if (!report.findings.empty()) status = Status::failed;
  if (status == Status::passed && !report.unknown.empty()) {
    status = Status::unknown;
    reason = report.unknown;
  }
  if (status == Status::passed && !report.not_applicable.empty()) {
    status = Status::skipped;
    reason = report.not_applicable;
  }
  if (report.end.kind == ChildEnd::Kind::hung)
    status = Status::hung;
  else if (report.end.kind == ChildEnd::Kind::crashed ||
           report.end.kind == ChildEnd::Kind::exited || report.end.kind == ChildEnd::Kind::memory)
    status = Status::crashed;
  else if (report.end.kind != ChildEnd::Kind::finished || !report.done) {
    status = Status::unknown;
    reason = report.end.message.empty() ? "the check did not come to its end" : report.end.message;
  }

  // Leaks are told by a process that ended as it should.
  if (status == Status::passed && first_report(report.end.standard_error, options_.request.plugin))
    status = Status::failed;

  for (const ChildEvent& event : report.findings) {
    const std::string& rule = event.finding.rule;
    // One of these at a time: the first may explain the others.
    std::unique_lock contents(contents_mutex_, std::defer_lock);
    if (is_about_contents(rule)) contents.lock();
    if (already_told(event.finding)) continue;
    JobReport part;
    part.end.kind = ChildEnd::Kind::finished;
    part.log.assign(report.log.begin(),
                    report.log.begin() + static_cast<std::ptrdiff_t>(std::min<std::uint64_t>(
                                             event.sequence_length, report.log.size())));
    Finding finding = part.log.empty() ? event.finding : shrink_finding(event.finding, part);
    {
      const std::lock_guard lock(mutex_);
      told_as_[rule] = finding.rule;
      if (is_about_contents(rule) && is_plain(finding)) plain_fault_ = finding.rule;
    }
    add_finding(std::move(finding));
  }
  add_end(check, report);

  const std::lock_guard lock(mutex_);
  if (status == Status::hung && check != "probe" && report.end.callback != Callback::none)
    ++hangs_[report.end.callback];
  const bool first = !results_.contains(check);
  CheckResult& result = results_[check];
  // Of several rounds the worst tells.
  if (first || badness(status) > badness(result.status)) {
    result.status = status;
    result.reason = reason;
  }
  result.seconds += report.seconds;
  ++result.processes;
  const std::uint64_t operations =
      report.operations != 0 ? report.operations : report.end.operations;
  result.operations += operations;
  summary_.operations += operations;
}

// Whether a finding of this rule has nothing to add; then it is counted.
bool Runner::already_told(const Finding& finding) {
  const std::lock_guard lock(mutex_);
  const std::string& rule = finding.rule;
  std::string known = rule;
  if (is_about_requests_at_once(rule)) {
    for (Finding& other : summary_.findings) {
      if (!shows_at_once_too(other)) continue;
      ++other.occurrences;
      explained_.emplace(rule, other.rule);
      return true;
    }
  }
  if (is_about_contents(rule)) {
    // Until plain reads and writes work, whatever else goes wrong with contents
    // says nothing about zero, trim or connections: unless it was seen where they do.
    if (!plain_fault_.empty() && !stands_alone(finding))
      known = plain_fault_;
    else if (const auto told = told_as_.find(rule); told == told_as_.end() || told->second != rule)
      return false;
  } else if (told_as_.emplace(rule, rule).second) {
    return false;
  }
  for (Finding& other : summary_.findings)
    if (other.rule == known) ++other.occurrences;
  explained_.emplace(rule, known);
  return true;
}

void Runner::add_end(const std::string& check, const JobReport& report) {
  auto finding = finding_from_end(report.end, check, options_.request.plugin);
  if (!finding) return;
  finding->schedule = report.schedule;
  {
    const std::lock_guard lock(mutex_);
    // The same fault in another check is the same finding.
    const std::string key = finding->rule + std::string(name(report.end.callback));
    if (!told_as_.emplace(key, finding->rule).second) {
      for (Finding& known : summary_.findings)
        if (known.rule == finding->rule) ++known.occurrences;
      return;
    }
  }
  if (report.end.kind != ChildEnd::Kind::finished && !report.log.empty() &&
      report.end.kind != ChildEnd::Kind::hung)
    add_finding(shrink_finding(*finding, report));
  else
    add_finding(std::move(*finding));
}

// With the options that the plan does not keep.
std::string Runner::replay_command(const std::string& path, const Plan& plan) const {
  const Request& request = options_.request;
  std::string command = fmt::format("{} replay {}", options_.nbdcheck, shell_quote(path));
  if (!children_run_under().empty()) command += " --valgrind";
  if (options_.stall != RunnerOptions{}.stall)
    command += fmt::format(" --timeout={}", std::chrono::duration<double>(options_.stall).count());
  if (request.atomic_consistency) command += " --consistency=atomic";
  if (request.unstable_contents) command += " --unstable-contents";
  if (request.persistence != Persistence::unknown)
    command += fmt::format(" --persistence={}", name(request.persistence));
  if (request.effort == Effort::thorough && plan.operations.empty())
    command += " --profile=thorough";
  for (const std::string& key : request.backing) command += " " + shell_quote("--backing=" + key);
  return command;
}

void Runner::add_finding(Finding finding) {
  const Plan plan = finding.plan ? *finding.plan : plan_for(finding, {});
  const std::lock_guard adding(adding_);
  {
    const std::lock_guard lock(mutex_);
    // Shrinking may have led to a rule that is known already.
    for (Finding& known : summary_.findings)
      if (known.rule == finding.rule && (known.plan || !finding.plan) &&
          finding.rule.rfind("process.", 0) != 0) {
        ++known.occurrences;
        return;
      }
  }
  finding.plan_path = artifacts_.save(plan, finding.rule);
  if (!finding.plan_path.empty()) {
    finding.replay_command = replay_command(finding.plan_path, plan);
    show_on_nbdkit(finding, plan);
  }
  const std::lock_guard lock(mutex_);
  if (finding.plan_path.empty()) {
    const std::string note = "no reproducer was written: " + artifacts_.error();
    if (std::find(summary_.notes.begin(), summary_.notes.end(), note) == summary_.notes.end())
      summary_.notes.push_back(note);
  }
  waive(finding);
  tell([&](Listener& l) { l.on_finding(finding); });
  summary_.findings.push_back(std::move(finding));
}

// Those that speak of this plugin, by any of its names.
std::vector<Waiver> Runner::waivers() const {
  std::vector<std::string> names{options_.plugin_as_given, options_.request.plugin};
  if (summary_.subject) {
    names.push_back(summary_.subject->plugin.name);
    names.push_back(summary_.subject->plugin.path);
  }
  for (std::size_t i = names.size(); i-- > 0;)
    names.push_back(std::filesystem::path(names[i]).filename());
  return waivers_for(options_.waivers, names);
}

void Runner::waive(Finding& finding) const {
  const auto known = waivers();
  if (const Waiver* waiver = waiver_of(finding.rule, known, options_.today))
    finding.waived = Waived{waiver->reason, waiver->until};
}

}  // namespace nbdcheck
