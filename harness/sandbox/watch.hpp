// Watching one child until something decides its fate.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "nbdcheck/sandbox.hpp"
#include "sandbox/descendants.hpp"
#include "sandbox/process_table.hpp"
#include "sandbox/spawn.hpp"

namespace nbdcheck::sandbox {

enum class Why {
  over,          // the process is gone
  crashed,       // in its signal handler, waiting for us
  exit_called,   // in its exit hook, waiting for us
  thread_ended,  // the same, in a thread of the server's that the plugin ends
  stalled,
  wall_limit,
  memory_limit,
  replaced,  // runs another program by now
};

// The last 64 KiB of what was written to it.
class Tail {
 public:
  void append(std::string_view text);
  [[nodiscard]] std::string take();

 private:
  static constexpr std::size_t limit = 64U << 10;
  std::string text_;
};

// Cuts a stream into lines.
class Lines {
 public:
  void append(std::string_view text, const std::function<void(std::string_view)>& on_line);

 private:
  std::string rest_;
};

class Watch {
 public:
  Watch(const ChildSpec& spec, Child& child, Descendants& descendants);

  Why run();
  // What is left in the pipes.  REQUIRES: nobody writes any more.
  void drain();

  [[nodiscard]] std::string take_output() { return output_.take(); }
  [[nodiscard]] std::string take_errors() { return errors_.take(); }
  [[nodiscard]] std::chrono::milliseconds elapsed() const;
  [[nodiscard]] std::uint64_t memory() const { return memory_; }
  // For how long nothing moved.
  [[nodiscard]] std::chrono::milliseconds idle() const {
    return std::chrono::duration_cast<std::chrono::milliseconds>(idle_);
  }

 private:
  using Clock = std::chrono::steady_clock;

  void wait_and_read();
  bool read_events();
  bool stalled();
  bool too_large();
  void note_work();
  [[nodiscard]] bool works_slowly(Clock::duration limit) const;

  const ChildSpec& spec_;
  Child& child_;
  Descendants& descendants_;
  Lines lines_;
  Tail output_;
  Tail errors_;
  FileIdentity executable_;
  Clock::time_point start_;
  Clock::time_point last_look_;
  Clock::time_point last_tick_;
  Clock::time_point last_scan_;
  Clock::duration idle_{0};
  std::uint64_t last_progress_ = 0;
  std::uint64_t ticks_ = 0;  // of the processor, used by child and descendants
  std::uint64_t ticks_at_progress_ = 0;
  std::uint64_t own_ticks_ = 0;  // of these, outside of the kernel
  std::uint64_t own_at_progress_ = 0;
  unsigned looks_ = 0;          // since half of the stall limit
  unsigned looks_at_disk_ = 0;  // of these, with a thread that waited for a disk
  std::uint64_t memory_ = 0;
  std::uint64_t memory_of_descendants_ = 0;
  std::uint64_t memory_limit_ = 0;
};

}  // namespace nbdcheck::sandbox
