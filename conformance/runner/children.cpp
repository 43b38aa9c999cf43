#include "runner/children.hpp"

#include <fmt/format.h>

#include <filesystem>
#include <system_error>

#include "checks/check.hpp"
#include "execute/operation_log.hpp"
#include "runner/child_main.hpp"
#include "runner/probe.hpp"

namespace nbdcheck {
namespace {

void take(JobReport& report, std::string_view line) {
  auto event = event_from_line(line);
  if (!event) return;
  switch (event->kind) {
    case ChildEvent::Kind::subject:
      report.subject = std::move(event->subject);
      break;
    case ChildEvent::Kind::finding:
      event->finding.schedule = report.schedule;
      report.findings.push_back(std::move(*event));
      break;
    case ChildEvent::Kind::unknown:
      report.unknown = event->text;
      break;
    case ChildEvent::Kind::not_applicable:
      report.not_applicable = event->text;
      break;
    case ChildEvent::Kind::remark:
      report.remark = event->text;
      break;
    case ChildEvent::Kind::schedule:
      report.schedule = event->text;
      break;
    case ChildEvent::Kind::reproduced:
      report.shown = event->shown;
      report.script_output = std::move(event->text);
      break;
    case ChildEvent::Kind::done:
      report.done = true;
      report.operations = event->operations;
      break;
  }
}

}  // namespace

Children::Children(std::string scratch, ArgumentsFor arguments_for)
    : scratch_(std::move(scratch)), arguments_for_(std::move(arguments_for)) {}

JobReport Children::run(Job job, const ChildLimits& limits,
                        const std::function<void(std::uint64_t)>& tick) {
  namespace fs = std::filesystem;
  const auto begin = std::chrono::steady_clock::now();
  const std::string scratch = fmt::format("{}/{}", scratch_, next_++);
  const std::string own = scratch + ".own";  // ours, beside what the plugin may empty
  std::error_code ignored;                   // without them the child says what it misses
  // Each on its own: after an interruption they must not bring back what was
  // removed.
  for (const std::string& directory : {scratch, own, own + "/files"})
    fs::create_directory(directory, ignored);
  job.log_path = own + "/operations";

  JobReport report;
  // A script copies what it needs by itself.
  if (job.kind == Job::Kind::reproduce) {
    job.request.arguments.clear();
  } else if (auto arguments = arguments_for_(own + "/files")) {
    job.request.arguments = std::move(*arguments);
  } else {
    report.end.kind = ChildEnd::Kind::not_started;
    report.end.message = arguments.error();
    return report;
  }
  if (job.twice) {
    fs::create_directory(own + "/again", ignored);
    auto arguments = arguments_for_(own + "/again");
    if (!arguments) {
      report.end.kind = ChildEnd::Kind::not_started;
      report.end.message = arguments.error();
      return report;
    }
    job.second_arguments = std::move(*arguments);
  }
  if (limits.in_process) {
    job.in_process = true;
    report = run_in_process(job);
  } else {
    ChildSpec spec;
    spec.arguments = {"--child"};
    spec.input = to_json(job);
    spec.scratch = scratch;
    if (const Check* check = find_check(job.check))
      spec.environment.assign(check->environment.begin(), check->environment.end());
    spec.stall_limit = limits.stall;
    spec.wall_limit = limits.wall;
    spec.on_event = [&](std::string_view line) {
      const bool before = report.subject.has_value();
      take(report, line);
      if (!before && report.subject && limits.on_subject) limits.on_subject(let_go_path(job));
    };
    if (tick)
      spec.on_tick = [&](const StatusPage& page) {
        std::uint64_t operations = 0;
        for (const CallSlot& slot : page.slots)
          operations += slot.operations.load(std::memory_order_relaxed);
        tick(operations);
      };
    report.end = run_child(spec);
  }
  if (!report.findings.empty() || report.end.kind != ChildEnd::Kind::finished)
    report.log = OperationLog::load(job.log_path);
  fs::remove_all(scratch, ignored);
  fs::remove_all(own, ignored);
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return report;
}

JobReport Children::run_in_process(const Job& job) {
  JobReport report;
  ChildSide& side = ChildSide::in_process([&](std::string_view line) { take(report, line); });
  run_job(job, [&](std::string_view line) { side.emit(line); });
  report.end.kind = ChildEnd::Kind::finished;
  return report;
}

}  // namespace nbdcheck
