#include "runner/runner.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <set>
#include <thread>

#include "plan/random.hpp"
#include "plan/shrink.hpp"
#include "rules/catalogue.hpp"
#include "runner/families.hpp"
#include "runner/kept_rules.hpp"
#include "runner/process_rules.hpp"
#include "text/shell.hpp"
#include "waivers/apply.hpp"

namespace nbdcheck {
namespace {

// Checks that hung in the same callback before the others are left out.  Every
// check goes through the life cycle; a request that hangs says less about what
// the others would find.
unsigned hangs_that_tell(Callback callback) {
  const bool request = callback >= Callback::pread && callback <= Callback::cache;
  return request ? 12 : 3;
}

int badness(Status status) {
  switch (status) {
    case Status::skipped:
    case Status::passed:
      return 0;
    case Status::unknown:
      return 1;
    case Status::hung:
    case Status::crashed:
      return 2;
    case Status::failed:
      return 3;
  }
  return 1;
}

bool only_on_nbdkit(const Finding& finding) {
  return finding.rule == "differential.nbdkit-survives";
}

double seconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

}  // namespace

Runner::Runner(RunnerOptions options, Children& children, std::vector<Listener*> listeners)
    : options_(std::move(options)),
      children_(children),
      listeners_(std::move(listeners)),
      artifacts_(options_.artifacts) {
  summary_.request = options_.request;
  summary_.plugin_as_given = options_.plugin_as_given;
  summary_.arguments_as_given = options_.arguments_as_given;
  summary_.notes = options_.notes;
  summary_.fail_on = options_.fail_on;
  summary_.rules_total = all_rules().size();
}

void Runner::tell(const std::function<void(Listener&)>& what) {
  for (Listener* listener : listeners_) what(*listener);
}

Job Runner::job_for(const std::string& check) const {
  Job job;
  job.check = check;
  job.request = options_.request;
  if (summary_.subject) job.subject = *summary_.subject;
  job.seconds = 10;
  return job;
}

bool Runner::chosen(const Check& check) const {
  const std::string id(check.id);
  const auto any_rule = [&](const std::regex& pattern) {
    return std::any_of(check.rules.begin(), check.rules.end(), [&](std::string_view rule) {
      return std::regex_search(std::string(rule), pattern);
    });
  };
  if (options_.only && !std::regex_search(id, *options_.only) && !any_rule(*options_.only))
    return false;
  return !(options_.skip && std::regex_search(id, *options_.skip));
}

std::vector<const Check*> Runner::selected() const {
  std::vector<const Check*> checks;
  for (const Check& check : all_checks())
    if (chosen(check)) checks.push_back(&check);
  return checks;
}

RunSummary Runner::run() {
  tell([&](Listener& l) { l.on_begin(summary_); });
  std::vector<const Check*> checks = selected();
  if (checks.empty()) {
    summary_.error = "no check is selected by --only and --skip";
    conclude();
    return summary_;
  }
  total_checks_ = checks.size();
  if (probe()) {
    tell([&](Listener& l) { l.on_subject(*summary_.subject); });
  } else {
    // Without a running plugin there is only its file to look at.
    std::erase_if(checks, [](const Check* check) { return !check->static_only; });
    total_checks_ = checks.size();
  }
  skip_inapplicable(checks);
  summary_.time.start_up.seconds = seconds_since(options_.begin);
  run_checks(checks);
  conclude();
  return summary_;
}

bool Runner::probe() {
  Job job = job_for("probe");
  job.kind = Job::Kind::probe;
  const ChildLimits limits{options_.stall, {}, options_.in_process};
  JobReport report = children_.run(job, limits);
  summary_.time.start_up.processes = 1;
  if (!report.subject) {
    summary_.error = report.unknown;
    if (report.unknown.empty() && report.end.kind == ChildEnd::Kind::not_started)
      summary_.error = report.end.message;
    if (report.unknown.empty() && report.end.kind == ChildEnd::Kind::time_limit)
      summary_.error = "the plugin did not start in time";
    collect("probe", std::move(report));
    return false;
  }
  Subject subject = std::move(*report.subject);
  report.subject.reset();
  subject.sha256 = options_.sha256;
  summary_.subject = subject;
  const bool sound = report.end.kind == ChildEnd::Kind::finished;
  collect("probe", std::move(report));
  if (sound && subject.info.can_write && !options_.in_process) {
    job.subject = subject;
    job.second_probe = true;
    const JobReport second = children_.run(job, limits);
    ++summary_.time.start_up.processes;
    if (second.subject) summary_.subject->external_storage = second.subject->external_storage;
  }
  Subject& known = *summary_.subject;
  if (known.info.can_write && known.persistence == Persistence::per_connection)
    known.remarks.emplace_back("every connection has a disk of its own");
  if (!known.stable_contents)
    known.remarks.emplace_back(
        "contents change by themselves: what we did not write is not judged");
  if (known.external_storage)
    known.remarks.emplace_back("data outlive the process: checks run one at a time");
  return true;
}

void Runner::skip_inapplicable(std::vector<const Check*>& checks) {
  if (!summary_.subject) return;
  std::erase_if(checks, [&](const Check* check) {
    std::string why = check->beside_nbdkit ? no_nbdkit() : "";
    if (why.empty() && check->not_applicable) why = check->not_applicable(*summary_.subject);
    if (why.empty()) return false;
    CheckResult result;
    result.id = check->id;
    result.status = Status::skipped;
    result.reason = std::move(why);
    result.rules.assign(check->rules.begin(), check->rules.end());
    summary_.checks.push_back(result);
    tell([&](Listener& l) { l.on_check(result); });
    return true;
  });
  total_checks_ = checks.size();
}

// Why no check runs beside the real nbdkit; "": they do.
std::string Runner::no_nbdkit() const {
  const Request& request = options_.request;
  if (request.effort == Effort::quick) return "the quick profile does without nbdkit";
  return request.nbdkit.empty() ? request.no_nbdkit : "";
}

void Runner::run_checks(const std::vector<const Check*>& checks) {
  const Subject subject = summary_.subject.value_or(Subject{});
  unsigned jobs = options_.jobs;
  if (subject.external_storage || options_.in_process) jobs = 1;
  summary_.time.jobs = jobs;
  auto shares = share_out(checks, subject, options_.request.effort, options_.seconds, jobs);
  // Requests at once come last: what is wrong one by one is told first.
  std::stable_partition(shares.begin(), shares.end(), [](const Share& share) {
    return !share.check->id.starts_with("concurrency.");
  });
  for (const Share& share : shares) ++rounds_left_[std::string(share.check->id)];

  std::atomic<std::size_t> next = 0;
  const auto work = [&] {
    for (std::size_t i = next++; i < shares.size(); i = next++) run_share(shares[i]);
  };
  std::vector<std::thread> workers;
  for (unsigned i = 1; i < jobs; ++i) workers.emplace_back(work);
  work();
  for (std::thread& worker : workers) worker.join();
}

void Runner::run_share(const Share& share) {
  const std::string id(share.check->id);
  {
    const std::lock_guard lock(mutex_);
    // A check that failed once has said what it had to say.
    if (const auto known = results_.find(id);
        known != results_.end() && badness(known->second.status) >= 2) {
      finish_check(*share.check);
      return;
    }
    // Each costs the whole time limit, and the next check would only end there
    // as well.
    for (const auto& [callback, count] : hangs_) {
      if (count < hangs_that_tell(callback)) continue;
      CheckResult& result = results_[id];
      if (badness(Status::unknown) >= badness(result.status)) {
        result.status = Status::unknown;
        result.reason = fmt::format("not run: {} checks hung in .{}", count, name(callback));
      }
      finish_check(*share.check);
      return;
    }
  }
  Job job = job_for(id);
  job.twice = share.check->beside_nbdkit;
  job.seconds = share.seconds;
  job.operations = share.operations;
  if (share.round > 0)
    job.request.seed = derive_seed(options_.request.seed, fmt::format("round {}", share.round));
  const std::string key = fmt::format("{} {}", id, share.round);
  const auto tick = [&](std::uint64_t operations) {
    const std::lock_guard lock(mutex_);
    live_operations_[key] = operations;
    std::uint64_t all = summary_.operations;
    for (const auto& [_, live] : live_operations_) all += live;
    tell([&](Listener& l) { l.on_progress(id, finished_checks_, total_checks_, all); });
  };
  const auto wall =
      std::chrono::milliseconds(static_cast<std::int64_t>((share.seconds * 3 + 60) * 1000));
  collect(id, children_.run(job, {options_.stall, wall, options_.in_process}, tick));
  const std::lock_guard lock(mutex_);
  live_operations_.erase(key);
  finish_check(*share.check);
}

// REQUIRES: mutex_ held.
void Runner::finish_check(const Check& check) {
  const std::string id(check.id);
  if (--rounds_left_[id] > 0) return;
  CheckResult& result = results_[id];
  result.id = id;
  result.rules.assign(check.rules.begin(), check.rules.end());
  ++finished_checks_;
  summary_.checks.push_back(result);
  tell([&](Listener& l) { l.on_check(result); });
}

void Runner::collect(const std::string& check, JobReport report) {
  Status status = Status::passed;
  std::string reason = report.remark;
  if (trap_was_blocked(report.end, check)) {
    report.end.kind = ChildEnd::Kind::time_limit;
    report.end.message =
        "the plugin blocks SIGTRAP, by which its threads are stopped in this check";
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

  for (const ChildEvent& event : report.findings) {
    const std::string& rule = event.finding.rule;
    // One of these at a time: the first may explain the others.
    std::unique_lock contents(contents_mutex_, std::defer_lock);
    if (is_about_contents(rule)) contents.lock();
    if (already_told(rule)) continue;
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
bool Runner::already_told(const std::string& rule) {
  const std::lock_guard lock(mutex_);
  std::string known = rule;
  if (is_about_requests_at_once(rule)) {
    for (Finding& finding : summary_.findings) {
      if (!shows_at_once_too(finding)) continue;
      ++finding.occurrences;
      const std::string note = fmt::format(
          "{} is broken, too, which {} may explain: mend that first", rule, finding.rule);
      if (std::ranges::find(summary_.notes, note) == summary_.notes.end())
        summary_.notes.push_back(note);
      return true;
    }
  }
  if (is_about_contents(rule)) {
    // Until plain reads and writes work, whatever else goes wrong with contents
    // says nothing about zero, trim or connections.
    if (!plain_fault_.empty())
      known = plain_fault_;
    else if (const auto told = told_as_.find(rule); told == told_as_.end() || told->second != rule)
      return false;
  } else if (told_as_.emplace(rule, rule).second) {
    return false;
  }
  for (Finding& finding : summary_.findings)
    if (finding.rule == known) ++finding.occurrences;
  return true;
}

void Runner::add_end(const std::string& check, const JobReport& report) {
  auto finding = finding_from_end(report.end, check);
  if (!finding) return;
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
  if (finding.check == "data.buffers") plan.buffers = BufferMode::guarded;
  if (finding.check == "data.odd-buffers") plan.buffers = BufferMode::guarded_odd;
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
    if (only_on_nbdkit(finding)) job.where = Job::Where::nbdkit;
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
      if (!same_family(event.finding.rule, finding.rule)) continue;
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
  if (shrunk.reproduced && !by_end && is_about_contents(best.rule)) look_for_buffers(best);
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
    finding.replay_command =
        fmt::format("{} replay {}", options_.nbdcheck, shell_quote(finding.plan_path));
    for (const std::string& key : options_.request.backing)
      finding.replay_command += " " + shell_quote("--backing=" + key);
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

void Runner::add_up_time() {
  TimeSpent& time = summary_.time;
  summary_.seconds = seconds_since(options_.begin);
  for (const CheckResult& check : summary_.checks) {
    time.checks.seconds += check.seconds;
    time.checks.processes += check.processes;
  }
  const double used = time.checks.seconds + time.shrinking.seconds;
  time.idle = std::max(0.0, (summary_.seconds - time.start_up.seconds) * time.jobs - used);
}

void Runner::conclude() {
  add_up_time();
  std::stable_sort(summary_.findings.begin(), summary_.findings.end(),
                   [](const Finding& a, const Finding& b) {
                     if (a.waived.has_value() != b.waived.has_value()) return !a.waived;
                     return a.severity > b.severity;
                   });
  std::sort(summary_.checks.begin(), summary_.checks.end(),
            [](const CheckResult& a, const CheckResult& b) { return a.id < b.id; });
  std::set<std::string> checked;
  std::set<std::string> skipped;
  std::set<std::string> reasons;
  for (const CheckResult& check : summary_.checks) {
    auto& rules =
        check.status == Status::skipped || check.status == Status::unknown ? skipped : checked;
    rules.insert(check.rules.begin(), check.rules.end());
    if (check.status == Status::skipped) reasons.insert(check.reason);
  }
  // Any check can run into these.
  if (summary_.subject)
    for (const std::string_view rule : runner_rules()) checked.insert(std::string(rule));
  std::erase_if(skipped, [&](const std::string& rule) { return checked.contains(rule); });
  summary_.rules_checked = checked.size();
  summary_.rules_not_applicable = skipped.size();
  summary_.not_applicable_reasons.assign(reasons.begin(), reasons.end());

  summary_.waivers =
      outcomes(waivers(), summary_.findings,
               kept_rules(all_checks(), summary_.checks, runner_rules()), options_.today);

  const bool bad =
      std::any_of(summary_.findings.begin(), summary_.findings.end(),
                  [&](const Finding& f) { return !f.waived && f.severity >= summary_.fail_on; });
  const bool any_passed =
      std::any_of(summary_.checks.begin(), summary_.checks.end(), [](const CheckResult& c) {
        return c.status == Status::passed || c.status == Status::failed;
      });
  if (bad)
    summary_.verdict = Verdict::nonconformant;
  else if (!summary_.subject || !any_passed)
    summary_.verdict = Verdict::nothing_checked;
  else
    summary_.verdict = Verdict::conformant;
  tell([&](Listener& l) { l.on_end(summary_); });
}

}  // namespace nbdcheck
