// What a running check works with: the job, a server, the budget, and the way
// to say what it found.  Lives in the child.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "checks/check.hpp"
#include "execute/incidents.hpp"
#include "execute/operation_log.hpp"
#include "execute/sequence.hpp"
#include "finding.hpp"
#include "job.hpp"
#include "nbdcheck/server.hpp"
#include "plan/random.hpp"

namespace nbdcheck {

class CheckRun {
 public:
  // Findings and the outcome go to `emit`, as soon as they are known.
  struct Output {
    std::function<void(const Finding&, std::uint64_t sequence_length)> finding;
    std::function<void(const std::string& reason)> unknown;
    std::function<void(const std::string& reason)> not_applicable;
    std::function<void(const std::string& text)> remark = {};
    std::function<void(const std::string& text)> schedule = {};
  };
  CheckRun(const Job& job, const std::string& log_path, Output output);
  ~CheckRun();

  [[nodiscard]] const Job& job() const { return job_; }
  [[nodiscard]] const Subject& subject() const { return job_.subject; }
  [[nodiscard]] const Request& request() const { return job_.request; }
  // For those that are Check::seeded; others become undecided.
  Random& random();
  IncidentCollector& incidents() { return incidents_; }

  // --- servers -------------------------------------------------------------
  // The options the user's request implies.
  [[nodiscard]] ServerOptions server_options() const;
  // Load only.  nullptr: it failed, and that has been reported.
  std::unique_ptr<Server> load(ServerOptions options);
  // Load, configure, start.  nullptr: as above.
  std::unique_ptr<Server> serve(ServerOptions options);
  std::unique_ptr<Server> serve() { return serve(server_options()); }
  // Reports why a step did not succeed.
  void failed_to_start(const Failure& failure);

  // --- budget --------------------------------------------------------------
  // Whether less than `share` of the budget is used up.
  [[nodiscard]] bool budget_left(double share = 1.0) const;
  [[nodiscard]] double seconds_left() const;
  void count_operations(std::uint64_t n) { operations_ += n; }
  [[nodiscard]] std::uint64_t operations() const { return operations_; }

  // --- results -------------------------------------------------------------
  void violated(Violation violation);
  // Of a plan that was run several times.
  void violated(Violation violation, unsigned shown, unsigned runs);
  // With the sequence logged so far as its plan.
  void violated_in_sequence(Violation violation);
  // Findings for whatever the collector has noticed since the last call; true
  // when there was something.  `in_sequence`: as violated_in_sequence.
  bool report_incidents(bool in_sequence = false);
  // The check could not decide; never "passed".
  void unknown(const std::string& reason);
  // The check concerns other plugins; where that is known before it runs,
  // Check::not_applicable says so.
  void not_applicable(const std::string& reason);
  // How thorough it was, for reports: "1234 of 1240 points".
  void remark(const std::string& text);
  // How a replay finds again what is found next, a crash of this process
  // included; it comes back as Job::schedule.
  void schedule(const std::string& text);
  [[nodiscard]] bool found_any() const { return found_any_; }

  // --- sequences -----------------------------------------------------------
  OperationLog& log() { return log_; }
  [[nodiscard]] SequenceOptions sequence_options() const;

 private:
  void report(Violation violation, std::uint64_t sequence_length, unsigned shown = 1,
              unsigned runs = 0);

  const Job& job_;
  Output output_;
  IncidentCollector incidents_;
  OperationLog log_;
  Random random_;
  std::chrono::steady_clock::time_point begin_;  // of the first server's service
  bool served_ = false;
  std::uint64_t operations_ = 0;
  bool found_any_ = false;
  std::vector<std::string> reported_;  // rules, so that each is reported once
};

// Runs `body` on a thread of its own, as nbdkit runs a connection's callbacks
// on the connection's thread and never on the main thread.
void on_connection_thread(const std::function<void()>& body);

}  // namespace nbdcheck
