// Runs jobs in children, each with a scratch directory and fresh copies of the
// backing files.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <string>
#include <tl/expected.hpp>
#include <vector>

#include "job.hpp"
#include "nbdcheck/sandbox.hpp"
#include "runner/wire.hpp"

namespace nbdcheck {

struct JobReport {
  ChildEnd end;
  bool done = false;  // the final event came
  std::vector<ChildEvent> findings;
  std::string unknown;         // why the check could not decide
  std::string remark;          // how thorough it was
  std::string schedule;        // how what it found last, its end included, is found again
  std::string not_applicable;  // why it does not concern this plugin
  std::optional<Subject> subject;
  std::optional<bool> shown;  // Kind::reproduce: whether the script showed the bug
  std::string script_output;  // its last lines
  std::uint64_t operations = 0;
  double seconds = 0;
  std::vector<Operation> log;  // the sequence; only when there is a finding or a bad end
};

struct ChildLimits {
  std::chrono::milliseconds stall{15000};
  std::chrono::milliseconds wall{0};
  bool in_process = false;
  // Called when a probe has told what it found, from the thread that watches it.
  // Where Job::hold is set it stays connected until the file `let_go` is there.
  std::function<void(const std::string& let_go)> on_subject = {};
};

class Children {
 public:
  // The plugin's arguments for one child, whose copies of backing files go
  // into `directory`; the error is one line (no space left).
  using ArgumentsFor = std::function<tl::expected<std::vector<std::string>, std::string>(
      const std::string& directory)>;

  // `scratch` exists.
  Children(std::string scratch, ArgumentsFor arguments_for);

  // May be called from several threads.  `tick` is called now and then with
  // the operations done so far.
  JobReport run(Job job, const ChildLimits& limits,
                const std::function<void(std::uint64_t)>& tick = {});

 private:
  JobReport run_in_process(const Job& job);

  std::string scratch_;
  ArgumentsFor arguments_for_;
  std::atomic<unsigned> next_ = 0;
};

}  // namespace nbdcheck
