// The signal handler behind Stepper: breakpoints, single steps, and the moment
// in which B runs.  All of it is async-signal-safe.
//
// Breakpoints are bytes in the plugin's text, not return addresses on its
// stack: unwinding, setjmp, shadow stacks and dlsym look at those.  None is
// planted while B runs, so B never meets one.  A thread of the plugin's own
// that does meet one takes it out and goes on; the point is then lost.
#pragma once

#include <sys/ucontext.h>

#include <atomic>
#include <csignal>
#include <cstdint>
#include <vector>

#include "nbdcheck/code.hpp"
#include "step/word.hpp"

namespace nbdcheck::step {

inline constexpr std::uint8_t int3 = 0xcc;

// One byte of the plugin replaced by it.
class Breakpoint {
 public:
  void plant(std::uint64_t address);
  void remove();
  [[nodiscard]] bool planted() const { return address_.load() != 0; }
  [[nodiscard]] bool at(std::uint64_t address) const { return address_.load() == address; }
  [[nodiscard]] std::uint64_t address() const { return address_.load(); }

 private:
  std::atomic<std::uint64_t> address_{0};
  std::uint8_t original_ = 0;
};

// Writes down the instructions of one operation.
struct Recorder {
  enum class State : std::uint8_t { waiting, stepping, outside, over_breakpoint };

  const Code* code = nullptr;
  const std::vector<std::uint64_t>* entries = nullptr;
  std::vector<Breakpoint> at_entries;
  Breakpoint at_return;
  State state = State::waiting;
  std::uint64_t entry_stack = 0;     // stack pointer at the callback's entry
  std::uint64_t return_address = 0;  // of the call that is being run
  std::uint64_t return_stack = 0;    // the stack pointer then
  std::uint32_t outside_steps = 0;
  // Added to an address: what ran before was not the plugin's code.
  static constexpr std::uint64_t from_outside = std::uint64_t{1} << 63;
  std::vector<std::uint64_t> trace;  // reserved beforehand
  bool lost = false;

  void await_entry();
  void stop();
  void on_trap(ucontext_t& context, bool from_breakpoint);
  void drop(std::uint64_t address);  // another thread met a breakpoint

 private:
  void enter(ucontext_t& context);
  void note(std::uint64_t address, ucontext_t& context);
  void on_step(ucontext_t& context);
  // Full speed until `until` is reached with no more on the stack than this.
  void go_fast(ucontext_t& context, std::uint64_t until, std::uint64_t stack);
  void finish(ucontext_t& context);
};

// Runs to one point and lets B run there.
struct Explorer {
  Breakpoint at_point;
  std::uint64_t address = 0;
  std::uint32_t wanted = 1;  // occurrence
  std::uint32_t seen = 0;
  bool stepping_over = false;
  std::atomic<bool> reached{false};
  bool lost = false;
  bool blocked = false;
  Word* go = nullptr;  // 0: B waits, 1: it may run, 2: never
  const Word* b_running = nullptr;
  const Word* b_done = nullptr;
  int b_call_file = -1;       // /proc/self/task/TID/syscall
  std::int64_t patience = 0;  // nanoseconds B may take while A waits

  void on_trap(ucontext_t& context, bool from_breakpoint);
  void drop(std::uint64_t address);  // another thread met a breakpoint

 private:
  void arrive(ucontext_t& context);
  void let_b_run();
};

struct Current {
  std::atomic<Recorder*> recorder{nullptr};
  std::atomic<Explorer*> explorer{nullptr};
  std::atomic<int> thread{0};  // A's
  std::atomic<std::uint64_t> traps{0};
};
Current& current();

// From here on SIGTRAP is ours; what is not for us goes to who had it before.
void install_handler();

// A counter of the kernel's went off (preemption.cpp).
void on_sample();

// Whether a thread, whose /proc/self/task/TID/syscall this is, waits in a system
// call that locks are made of.
bool waits_for_lock(int call_file);

// Calls of these do not come back to where they were made: they are followed
// step by step.
void set_unreturning(std::vector<std::uint64_t> functions);
bool is_unreturning(std::uint64_t address);

}  // namespace nbdcheck::step
