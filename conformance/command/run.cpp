#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <functional>
#include <memory>
#include <regex>
#include <thread>

#include "command/command.hpp"
#include "command/setup.hpp"
#include "report/event.hpp"
#include "rules/catalogue.hpp"
#include "runner/runner.hpp"
#include "text/printable.hpp"
#include "waivers/apply.hpp"
#include "waivers/read.hpp"

namespace nbdcheck {
namespace {

std::optional<std::regex> pattern(const std::string& text) {
  if (text.empty()) return std::nullopt;
  return std::regex(text, std::regex::ECMAScript | std::regex::optimize);
}

RunnerOptions runner_options(const Options& options, const Setup& setup) {
  RunnerOptions to;
  to.request = setup.request;
  to.plugin_as_given = options.plugin;
  to.arguments_as_given = options.arguments;
  to.sha256 = setup.file.sha256;
  to.only = pattern(options.only);
  to.skip = pattern(options.skip);
  to.jobs = options.jobs != 0 ? options.jobs : std::max(1U, std::thread::hardware_concurrency());
  if (setup.one_at_a_time) to.jobs = 1;
  to.seconds = options.seconds.value_or(0);
  to.share_of_time = options.share_of_time;
  to.stall = setup.stall;
  to.fail_on = options.fail_on;
  to.in_process = options.in_process;
  to.artifacts = options.artifacts.empty() ? "nbdcheck-artifacts" : options.artifacts;
  to.nbdcheck = setup.program;
  to.notes = setup.notes;
  to.script = setup.script;
  to.no_script = setup.no_script;
  return to;
}

}  // namespace

int run_command(const Options& options) {
  if (const int code = become_matching_build(options, options.plugin); code != 0) return code;
  const auto begin = std::chrono::steady_clock::now();
  for (const ReportRequest& report : options.reports)
    if (const auto why = cannot_write(report.path); !why.empty()) return bad_input(why);
  std::vector<Waiver> waivers;
  if (!options.waivers.empty()) {
    auto read = read_waivers(options.waivers, all_rules());
    if (!read) return bad_input(read.error());
    waivers = std::move(*read);
  }
  auto setup = Setup::make(options, options.plugin, options.arguments);
  if (!setup) return bad_input(setup.error());

  const auto terminal = terminal_listener(stdout, terminal_style(options));
  std::vector<Listener*> listeners{terminal.get()};
  std::vector<std::unique_ptr<FileReport>> reports;
  for (const ReportRequest& report : options.reports) {
    reports.push_back(report.format == "events" ? events_report(report.path)
                                                : json_report(report.path));
    listeners.push_back(reports.back().get());
  }
  RunnerOptions to = runner_options(options, **setup);
  to.begin = begin;
  to.waivers = std::move(waivers);
  to.today = day_of(std::chrono::system_clock::now());
  Runner runner(std::move(to), (*setup)->children(), listeners);
  const RunSummary summary = runner.run();
  int code = summary.exit_code();
  for (const auto& report : reports) {
    if (report->error().empty()) continue;
    std::fprintf(stderr, "nbdcheck: %s\n", printable(report->error()).c_str());
    code = 3;
  }
  return code;
}

}  // namespace nbdcheck
