// Two operations, one of them interrupted by the other at a chosen instruction
// of the plugin.  A recording notes which instructions the first operation, A,
// executes; then, point by point, A is run again up to that instruction, all of
// B is run on another thread, and A goes on.  One preemption at every place
// there is, without source and without chance.
//
// Only for x86-64, where an instruction can be replaced by a breakpoint of one
// byte.  The plugin runs at full speed all but at the chosen instruction.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <tl/expected.hpp>
#include <vector>

#include "nbdcheck/code.hpp"

namespace nbdcheck {

// A thread that stands ready to run one thing at once.
class StepThread {
 public:
  StepThread();
  ~StepThread();
  StepThread(const StepThread&) = delete;
  StepThread& operator=(const StepThread&) = delete;

  void start(std::function<void()> work);
  // False: it was not done in time, and still goes on.
  bool wait(std::chrono::milliseconds limit);
  // Both.  REQUIRES: the work comes to an end.
  void run(std::function<void()> work);
  [[nodiscard]] int id() const { return id_; }

 private:
  struct Mailbox;
  void loop();

  std::unique_ptr<Mailbox> mail_;
  int id_ = 0;
  std::thread thread_;
};

// Before the occurrence-th execution, counted from 1, of an instruction.
struct StepPoint {
  std::uint64_t address = 0;
  std::uint32_t occurrence = 1;
};

struct Recording {
  std::uint64_t instructions = 0;  // executed inside the plugin
  std::uint64_t places = 0;        // different ones
  // Where to stop: each place at its first, second and last two executions,
  // where others can tell the difference to having stopped earlier.
  std::vector<StepPoint> points;
  bool complete = true;  // false: too long, or lost sight of it on the way
  std::chrono::nanoseconds duration{};
};

struct StepOutcome {
  bool reached = false;  // the point; otherwise B was not run
  bool blocked = false;  // B waited for something, so A went on before its end
  bool a_stuck = false;  // did not come to an end
  bool b_stuck = false;
};

class Stepper {
 public:
  // `entries`: where the plugin is entered, its callbacks.  One at a time in a
  // process.  Fails with a reason where stepping is not possible.
  static tl::expected<std::unique_ptr<Stepper>, std::string> attach(Code code,
                                                                    std::vector<void*> entries);
  ~Stepper();
  Stepper(const Stepper&) = delete;
  Stepper& operator=(const Stepper&) = delete;

  // How long an operation may take before it counts as stuck.
  void set_limit(std::chrono::milliseconds limit) { limit_ = limit; }
  // After how many instructions a recording ends.
  void set_longest(std::size_t instructions) { longest_ = instructions; }

  // Runs `a`, once.  `every`: also points that nobody can tell from others.
  Recording record(StepThread& thread, const std::function<void()>& a, bool every = false);
  StepOutcome explore(StepPoint point, StepThread& a_thread, const std::function<void()>& a,
                      StepThread& b_thread, const std::function<void()>& b);

  [[nodiscard]] const Code& code() const { return code_; }
  // Breakpoints and single steps taken so far.
  [[nodiscard]] std::uint64_t traps() const;

 private:
  Stepper(Code code, std::vector<void*> entries);
  bool ends(StepThread& thread, int b_call_file, const std::atomic<bool>& b_began) const;

  Code code_;
  std::vector<void*> entries_;
  std::chrono::milliseconds limit_{15000};
  std::size_t longest_ = 20'000;
};

}  // namespace nbdcheck
