#include "checks/check_run.hpp"

#include <algorithm>
#include <exception>
#include <thread>
#include <utility>

#include <fmt/format.h>

#include "checks/language_runtime.hpp"
#include "nbdcheck/sandbox.hpp"
#include "rules/catalogue.hpp"

namespace nbdcheck {

CheckRun::CheckRun(const Job& job, const std::string& log_path, Output output)
    : job_(job),
      output_(std::move(output)),
      log_(log_path),
      random_(derive_seed(job.request.seed, job.check)),
      begin_(std::chrono::steady_clock::now()) {}

CheckRun::~CheckRun() = default;

Random& CheckRun::random() {
  // Who runs many seeds leaves out the checks that do the same with each of them.  Our
  // mistake, not the plugin's.
  const Check* check = job_.kind == Job::Kind::check ? find_check(job_.check) : nullptr;
  if (check != nullptr && !check->seeded)
    unknown(fmt::format("{} uses the seed and is not marked as seeded", check->id));
  return random_;
}

namespace {

// After a failed start nbdkit just exits: no .cleanup, no .unload.  The child
// leaves by _exit, so the server may as well stay.
void abandon(std::unique_ptr<Server> server) { static_cast<void>(server.release()); }

}  // namespace

ServerOptions CheckRun::server_options() const {
  ServerOptions options;
  options.readonly = job_.request.readonly;
  options.redirect_stdio = !job_.in_process;
  if (job_.subject.more_wait) options.most_handles = job_.subject.connections_seen;
  return options;
}

std::unique_ptr<Server> CheckRun::load(ServerOptions options) {
  set_phase("loading the plugin");
  auto server = Server::load(job_.request.plugin, std::move(options), incidents_);
  if (!server) {
    unknown("the plugin could not be loaded: " + server.error().message);
    return nullptr;
  }
  if (runtime_within((*server)->plugin().facts().path) != LanguageRuntime::none)
    watch_for_crashes_again();
  return *std::move(server);
}

std::unique_ptr<Server> CheckRun::serve(ServerOptions options) {
  auto server = load(std::move(options));
  if (!server) return nullptr;
  set_phase("configuring the plugin");
  if (const auto ok = server->configure(job_.request.arguments); !ok) {
    failed_to_start(ok.error());
    abandon(std::move(server));
    return nullptr;
  }
  set_phase("starting to serve");
  if (const auto ok = server->start(); !ok) {
    failed_to_start(ok.error());
    abandon(std::move(server));
    return nullptr;
  }
  set_phase("");
  // The time is for checking: a plugin that compiles a program or formats a
  // disk when it starts would use it all up before its first request.
  if (!std::exchange(served_, true)) begin_ = std::chrono::steady_clock::now();
  return server;
}

void CheckRun::failed_to_start(const Failure& failure) {
  report_incidents();
  const std::string words = incidents_.last_error();
  const std::string why = words.empty() ? failure.message : words;
  unknown(failure.where == Callback::none
              ? why
              : fmt::format(".{} failed: {}", name(failure.where), why));
}

bool CheckRun::budget_left(double share) const {
  if (job_.operations != 0 &&
      static_cast<double>(operations_) >= share * static_cast<double>(job_.operations))
    return false;
  return seconds_left() > (1 - share) * job_.seconds;
}

double CheckRun::seconds_left() const {
  const std::chrono::duration<double> used = std::chrono::steady_clock::now() - begin_;
  return job_.seconds - used.count();
}

void CheckRun::violated(Violation violation) { report(std::move(violation), 0); }

void CheckRun::violated(Violation violation, unsigned shown, unsigned runs) {
  report(std::move(violation), 0, shown, runs);
}

void CheckRun::violated_in_sequence(Violation violation) {
  report(std::move(violation), log_.size());
}

void CheckRun::report(Violation violation, std::uint64_t sequence_length, unsigned shown,
                      unsigned runs) {
  if (std::find(reported_.begin(), reported_.end(), violation.rule) != reported_.end()) return;
  reported_.push_back(violation.rule);
  found_any_ = true;
  Finding finding;
  finding.rule = std::move(violation.rule);
  finding.check = job_.check;
  if (const Rule* rule = find_rule(finding.rule)) {
    finding.severity = rule->severity;
    finding.title = rule->title;
  }
  // What the user asks for is no longer advice.
  if (job_.request.atomic_consistency &&
      (finding.rule == "concurrency.torn-sector" || finding.rule == "concurrency.atomic"))
    finding.severity = Severity::must;
  finding.shown = shown;
  finding.runs = runs;
  finding.message = std::move(violation.message);
  finding.expected = std::move(violation.expected);
  finding.actual = std::move(violation.actual);
  finding.details = std::move(violation.details);
  output_.finding(finding, sequence_length);
}

bool CheckRun::report_incidents(bool in_sequence) {
  if (!incidents_.has_news()) return false;
  const auto fresh = incidents_.take();
  for (const Violation& violation : fresh)
    in_sequence ? violated_in_sequence(violation) : violated(violation);
  return !fresh.empty();
}

void CheckRun::unknown(const std::string& reason) { output_.unknown(reason); }

void CheckRun::schedule(const std::string& text) {
  if (output_.schedule) output_.schedule(text);
}

void CheckRun::remark(const std::string& text) {
  if (output_.remark) output_.remark(text);
}

void CheckRun::not_applicable(const std::string& reason) { output_.not_applicable(reason); }

SequenceOptions CheckRun::sequence_options() const {
  SequenceOptions options;
  options.export_name = job_.request.export_name;
  options.rules.shared = job_.subject.persistence == Persistence::shared;
  options.rules.multi_conn = job_.subject.info.advertises_multi_conn;
  options.judge_contents = !job_.request.unstable_contents;
  options.judge_unwritten = job_.subject.stable_contents;
  options.watch_reads = true;
  options.last_error = [this] { return incidents_.last_error(); };
  return options;
}

void on_connection_thread(const std::function<void()>& body) {
  Lane lane;
  lane.run(body);
}

}  // namespace nbdcheck
