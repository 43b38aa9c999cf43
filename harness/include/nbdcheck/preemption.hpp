// Makes the threads that call a plugin wait a little now and then, one at a time,
// at whatever instruction of a callback they are: the plugin's own, a library's, in
// the middle of a copy.  Between two waits the plugin runs at full speed.
//
// The clock is a counter of the kernel's that ticks in a thread's own instructions
// only and whose signal is delivered at once (perf_event_open(2) with sigtrap, Linux
// 5.13).  The signal of a timer would do the same, and would end system calls with
// EINTR, which is not for us to do to a plugin.
#pragma once

#include <cstdint>
#include <string>

namespace nbdcheck {

struct PreemptionOptions {
  std::uint64_t seed = 0;
  std::uint64_t period_nanoseconds = 30'000;  // of a thread's processor time
};

// One at a time in a process.  Only threads with a PreemptedThread wait.
class Preemption {
 public:
  explicit Preemption(PreemptionOptions options);
  ~Preemption();
  Preemption(const Preemption&) = delete;
  Preemption& operator=(const Preemption&) = delete;

  // "" or why nothing is done: "perf_event_open: Operation not permitted".
  [[nodiscard]] const std::string& unavailable() const { return unavailable_; }
  // How often a thread was made to wait.
  [[nodiscard]] std::uint64_t count() const;

 private:
  std::string unavailable_;
};

// The calling thread, while this exists; nothing without a Preemption, which must be
// there before.  REQUIRES: prepare_thread() has been called; destroyed by the same
// thread.
class PreemptedThread {
 public:
  PreemptedThread();
  ~PreemptedThread();
  PreemptedThread(const PreemptedThread&) = delete;
  PreemptedThread& operator=(const PreemptedThread&) = delete;

 private:
  int counter_ = -1;
};

}  // namespace nbdcheck
