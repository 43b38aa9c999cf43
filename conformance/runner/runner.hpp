// The main path: probe the plugin, choose the checks that apply, run each in a
// child, shrink what fails, and tell the listeners.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <regex>
#include <string>
#include <vector>

#include "checks/check.hpp"
#include "report/event.hpp"
#include "report/nbdsh.hpp"
#include "runner/artifacts.hpp"
#include "runner/budget.hpp"
#include "runner/children.hpp"

namespace nbdcheck {

struct RunnerOptions {
  Request request;  // plugin resolved to a path, arguments as given
  std::string plugin_as_given;
  std::vector<std::string> arguments_as_given;
  std::string sha256;
  std::optional<std::regex> only;
  std::optional<std::regex> skip;
  unsigned jobs = 2;
  double seconds = 0;          // --time; 0: as the effort says
  bool share_of_time = false;  // --time=share: as if all checks ran
  std::chrono::milliseconds stall{15000};
  Severity fail_on = Severity::must;
  bool in_process = false;
  std::string artifacts;              // directory for reproducers
  std::string nbdcheck = "nbdcheck";  // for the replay command
  NbdshContext script;                // for the scripts of findings
  std::string no_script;              // why there are none
  std::vector<std::string> notes;
  // When the run began, for its time.
  std::chrono::steady_clock::time_point begin = std::chrono::steady_clock::now();
  std::vector<Waiver> waivers;
  std::string today;  // "2026-12-31", for the waivers
};

class Runner {
 public:
  Runner(RunnerOptions options, Children& children, std::vector<Listener*> listeners);

  RunSummary run();

 private:
  // runner.cpp
  bool probe();
  void look_again(Job job);
  JobReport probe_beside(Job job, ChildLimits limits);
  std::vector<const Check*> selected() const;
  void skip_inapplicable(std::vector<const Check*>& checks);
  void run_checks(const std::vector<const Check*>& checks);
  void run_share(const Share& share);
  void finish_check(const Check& check);
  void tell(const std::function<void(Listener&)>& what);
  [[nodiscard]] std::string no_nbdkit() const;
  [[nodiscard]] std::vector<const Check*> applicable(const Subject& subject) const;
  [[nodiscard]] bool chosen(const Check& check) const;
  [[nodiscard]] Job job_for(const std::string& check) const;

  // collect.cpp
  void collect(const std::string& check, JobReport report);
  void add_end(const std::string& check, const JobReport& report);
  [[nodiscard]] std::string replay_command(const std::string& path, const Plan& plan) const;
  void add_finding(Finding finding);
  bool already_told(const Finding& finding);
  void waive(Finding& finding) const;
  [[nodiscard]] std::vector<Waiver> waivers() const;

  // sequence_finding.cpp
  Finding shrink_finding(const Finding& finding, const JobReport& report);
  void look_for_buffers(Finding& finding);
  void count_shrinking(const Finding& finding, std::chrono::steady_clock::time_point begin,
                       unsigned processes);
  [[nodiscard]] Plan plan_for(const Finding& finding, std::vector<Operation> operations) const;

  // concurrent_finding.cpp
  Finding shrink_concurrent_finding(const Finding& finding, const JobReport& report);
  std::optional<Finding> try_concurrent(const Plan& plan, const Finding& finding,
                                        const ChildEnd* wanted, double seconds, unsigned repeat);
  unsigned rate(Finding& finding, const ChildEnd* wanted);

  // show_on_nbdkit.cpp
  void show_on_nbdkit(Finding& finding, const Plan& plan);
  void run_on_nbdkit(Finding& finding, const Plan& plan);

  // verdict.cpp
  void add_up_time();
  void note_explained();
  void note_other_exports();
  void conclude();

  RunnerOptions options_;
  Children& children_;
  std::vector<Listener*> listeners_;
  Artifacts artifacts_;
  bool served_once_ = false;  // a second server of it does not start, or opens nothing
  std::mutex adding_;  // held while a finding is added, which may take a while
  std::mutex mutex_;   // of everything below
  RunSummary summary_;
  std::map<std::string, CheckResult> results_;
  std::map<std::string, unsigned> rounds_left_;
  std::map<std::string, std::uint64_t> live_operations_;
  std::size_t finished_checks_ = 0;
  std::size_t total_checks_ = 0;
  std::mutex contents_mutex_;  // held while a finding about contents is shrunk
  // Rule (or bad end) as first seen -> rule it was reported as.
  std::map<std::string, std::string> told_as_;
  std::map<std::string, std::string> explained_;  // rule -> rule that may be the cause
  std::map<Callback, unsigned> hangs_;            // checks that hung in it
  std::string plain_fault_;  // rule that plain reads and writes break; empty: none
};

}  // namespace nbdcheck
