#include "runner/runner.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <semaphore>
#include <thread>

#include "plan/random.hpp"
#include "rules/catalogue.hpp"
#include "runner/seconds.hpp"

namespace nbdcheck {
namespace {

// Checks that hung in the same callback before the others are left out.  Every
// check goes through the life cycle; a request that hangs says less about what
// the others would find.
unsigned hangs_that_tell(Callback callback) {
  const bool request = callback >= Callback::pread && callback <= Callback::cache;
  return request ? 12 : 3;
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
  if (sound && !options_.in_process) look_again(job);
  Subject& known = *summary_.subject;
  if (known.info.can_write && known.persistence == Persistence::per_connection)
    known.remarks.emplace_back("every connection has a disk of its own");
  if (!known.stable_contents)
    known.remarks.emplace_back(
        "contents change by themselves: what we did not write is not judged");
  if (!known.readable)
    known.remarks.emplace_back("no read succeeded where it begins: little of it may be judged");
  if (known.external_storage)
    known.remarks.emplace_back("its storage is not the process's own: checks run one at a time");
  if (known.more_wait)
    known.remarks.push_back(fmt::format(
        "{} at a time: .open of another waits until one is closed",
        known.connections_seen == 1 ? "one connection"
                                    : fmt::format("{} connections", known.connections_seen)));
  if (served_once_)
    known.remarks.emplace_back("it can be served only once at a time: checks run one at a time");
  return true;
}

// Whether data outlive the process, and how many clients get in; and while that is found out,
// whether another server can have the plugin open as well: it may hold a device, a port, a lock.
void Runner::look_again(Job job) {
  const bool beside = options_.jobs > 1 && total_checks_ > 1;
  Subject& known = *summary_.subject;
  const bool one_at_a_time = known.thread_model == ThreadModel::serialize_connections;
  if (!known.info.can_write && !beside && one_at_a_time) return;
  job.subject = known;
  job.second_probe = true;
  job.count_connections = true;
  const ChildLimits limits{options_.stall, {}, false};
  const JobReport second = beside ? probe_beside(job, limits) : children_.run(job, limits);
  ++summary_.time.start_up.processes;
  if (second.subject) known.add(*second.subject);
}

JobReport Runner::probe_beside(Job job, ChildLimits limits) {
  constexpr double longest = 10;
  Job other = job;
  other.count_connections = false;
  const ChildLimits others = limits;
  std::counting_semaphore<2> answered(0);
  std::string let_go;
  limits.on_subject = [&](const std::string& path) {
    let_go = path;
    answered.release();
  };
  // Well before it would be taken for a hang.
  job.hold = std::min(longest, std::chrono::duration<double>(options_.stall).count() / 2);
  JobReport report;
  bool shared = false;
  const auto begin = std::chrono::steady_clock::now();
  std::thread holder([&] {
    report = children_.run(job, limits);
    answered.release();
  });
  answered.acquire();
  const double start = seconds_since(begin);
  if (!let_go.empty()) {
    const JobReport third = children_.run(other, others);
    ++summary_.time.start_up.processes;
    // Or it waits for the other to be gone.
    const bool waited = third.seconds >= job.hold && third.seconds > 2 * start;
    served_once_ = !third.subject || waited;
    shared = third.subject && third.subject->external_storage;
    std::ofstream(let_go).flush();
  }
  holder.join();
  if (report.subject && shared) report.subject->external_storage = true;
  return report;
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

std::vector<const Check*> Runner::applicable(const Subject& subject) const {
  std::vector<const Check*> checks;
  for (const Check& check : all_checks()) {
    if (check.beside_nbdkit && !no_nbdkit().empty()) continue;
    if (check.not_applicable && !check.not_applicable(subject).empty()) continue;
    checks.push_back(&check);
  }
  return checks;
}

// Why no check runs beside the real nbdkit; "": they do.
std::string Runner::no_nbdkit() const {
  const Request& request = options_.request;
  if (request.effort == Effort::quick) return "the quick profile does without nbdkit";
  if (served_once_) return "the plugin can be served only once at a time";
  return request.nbdkit.empty() ? request.no_nbdkit : "";
}

void Runner::run_checks(const std::vector<const Check*>& checks) {
  const Subject subject = summary_.subject.value_or(Subject{});
  unsigned jobs = options_.jobs;
  if (subject.external_storage || served_once_ || options_.in_process) jobs = 1;
  summary_.time.jobs = jobs;
  auto shares = share_out(options_.share_of_time ? applicable(subject) : checks, subject,
                          options_.request.effort, options_.seconds, jobs);
  std::erase_if(shares, [&](const Share& share) {
    return std::ranges::find(checks, share.check) == checks.end();
  });
  // Requests at once come last: what is wrong one by one is told first.
  std::stable_partition(shares.begin(), shares.end(),
                        [](const Share& share) { return !share.check->at_once; });
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

}  // namespace nbdcheck
