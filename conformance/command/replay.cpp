// `nbdcheck replay FILE.plan`: runs the sequence of a reproducer again, or,
// where it has none, the check it came from.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

#include "checks/check.hpp"
#include "command/command.hpp"
#include "command/setup.hpp"
#include "plan/plan.hpp"
#include "rules/catalogue.hpp"
#include "runner/process_rules.hpp"
#include "text/read_file.hpp"

namespace nbdcheck {
namespace {

// A plan of the largest allowed size is a good deal smaller than this.
constexpr std::size_t largest_file = 1U << 30;

tl::expected<Plan, std::string> load_plan(const std::string& path) {
  const auto text = read_whole_file(path, "a plan", largest_file);
  if (!text) return tl::unexpected(text.error());
  auto plan = plan_from_text(*text);
  if (!plan) return tl::unexpected(fmt::format("{}: {}", path, plan.error()));
  return plan;
}

// What one run showed.
struct Seen {
  std::vector<Finding> findings;
  std::string unknown;
  std::uint64_t operations = 0;
};

Seen look(JobReport report, const std::string& check) {
  Seen seen;
  for (ChildEvent& event : report.findings) seen.findings.push_back(std::move(event.finding));
  if (auto end = finding_from_end(report.end, check)) seen.findings.push_back(std::move(*end));
  seen.unknown = std::move(report.unknown);
  if (seen.unknown.empty() && !report.done && seen.findings.empty())
    seen.unknown = report.end.message.empty() ? "it did not come to its end" : report.end.message;
  seen.operations = report.operations;
  return seen;
}

}  // namespace

int replay_command(const Options& options) {
  const auto plan = load_plan(options.plan_file);
  if (!plan) return bad_input(plan.error());
  if (plan->operations.empty() && find_check(plan->check) == nullptr && plan->check != "probe")
    return bad_input(fmt::format("{}: no check is called '{}'", options.plan_file, plan->check));
  Options wanted = options;
  wanted.export_name = plan->export_name;
  wanted.readonly = plan->readonly;
  wanted.seed = plan->seed;
  if (const int code = become_matching_build(options, plan->plugin); code != 0) return code;
  auto setup = Setup::make(wanted, plan->plugin, plan->arguments);
  if (!setup) return bad_input(setup.error());
  const bool on_nbdkit =
      options.on_nbdkit || (seen_in_nbdkit(plan->rule, plan->check) && !plan->operations.empty());
  if (on_nbdkit && plan->operations.empty())
    return bad_input(
        fmt::format("{}: the plan has no operations: it is the check {}, which runs in process",
                    options.plan_file, plan->check));
  if (on_nbdkit && (*setup)->request.nbdkit.empty())
    return bad_input("--target=nbdkit: " + (*setup)->request.no_nbdkit);
  Children& children = (*setup)->children();
  const ChildLimits limits{(*setup)->stall, {}, options.in_process};

  RunSummary summary;
  summary.request = (*setup)->request;
  summary.plugin_as_given = plan->plugin;
  summary.arguments_as_given = plan->arguments;
  summary.fail_on = options.fail_on;
  summary.notes = (*setup)->notes;
  if (!plan->sha256.empty() && plan->sha256 != (*setup)->file.sha256)
    summary.notes.push_back("the plugin is not the one this plan was made with (its hash differs)");

  // What kind of disk it is decides what may be asked of it.
  Job job;
  job.request = (*setup)->request;
  job.kind = Job::Kind::probe;
  job.check = "probe";
  job.seconds = 60;
  JobReport probed = children.run(job, limits);
  unsigned shown = 0;
  unsigned runs = options.repeat;
  Seen last;
  // Some checks look at the file only, and at plugins that cannot be started.
  const Check* check = find_check(plan->check);
  const bool file_only = check != nullptr && check->static_only && plan->operations.empty();
  if (probed.subject ? plan->check != "probe" : file_only) {
    if (probed.subject) job.subject = *probed.subject;
    // A whole check asks for what a second probe tells, too.
    if (probed.subject && plan->operations.empty() && !options.in_process) {
      job.second_probe = job.count_connections = true;
      if (const auto second = children.run(job, limits).subject) job.subject.add(*second);
      job.second_probe = job.count_connections = false;
    }
    job.check = plan->check;
    job.kind = plan->operations.empty() ? Job::Kind::check : Job::Kind::plan;
    if (job.kind == Job::Kind::plan) job.plan_text = to_text(*plan);
    if (job.kind == Job::Kind::check) job.schedule = plan->schedule;
    if (on_nbdkit) job.where = Job::Where::nbdkit;
    // What needs luck is run in one process: the plan as often as was asked,
    // or until it shows something.
    const bool at_once = job.kind == Job::Kind::plan && concurrent(plan->operations);
    if (at_once) {
      job.repeat = options.repeat > 1 ? options.repeat : 0;
      last = look(children.run(job, limits), plan->check);
      for (const Finding& finding : last.findings) {
        shown = std::max(1U, finding.shown);
        runs = std::max(1U, finding.runs);
      }
    }
    for (unsigned i = 0; i < options.repeat && !at_once; ++i) {
      Seen seen = look(children.run(job, limits), plan->check);
      if (!seen.findings.empty()) ++shown;
      if (!seen.findings.empty() || i == 0) last = std::move(seen);
    }
  } else {
    last = look(std::move(probed), "probe");
    shown = last.findings.empty() ? 0 : options.repeat;
  }

  if (on_nbdkit)
    summary.notes.push_back("run in the real nbdkit " + (*setup)->request.nbdkit_version);
  for (const std::string& note : summary.notes) std::printf("note: %s\n", note.c_str());
  const TerminalStyle style = terminal_style(options);
  for (Finding& finding : last.findings) {
    if (job.kind == Job::Kind::plan) finding.plan = *plan;
    finding.plan_path = options.plan_file;
    std::printf("%s\n", finding_for_terminal(finding, style).c_str());
    summary.findings.push_back(finding);
  }
  if (summary.findings.empty()) {
    if (!last.unknown.empty()) {
      std::printf("%s: nothing could be judged: %s\n", options.plan_file.c_str(),
                  last.unknown.c_str());
      return 4;
    }
    std::printf("%s: not reproduced in %u run%s\n", options.plan_file.c_str(), runs,
                runs == 1 ? "" : "s");
    return 0;
  }
  if (!last.unknown.empty()) std::printf("note: %s\n", last.unknown.c_str());
  std::printf("%s: reproduced in %u of %u run%s\n", options.plan_file.c_str(), shown, runs,
              runs == 1 ? "" : "s");
  return 1;
}

}  // namespace nbdcheck
