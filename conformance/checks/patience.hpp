// How long a check goes on where only its cost limits it.
#pragma once

#include <sys/resource.h>

#include <chrono>
#include <ctime>

namespace nbdcheck {

// Measured in processor time, with that of children that have ended, so that
// what a check finds does not depend on what else the machine does; on the wall
// only where somebody sleeps.
class Patience {
 public:
  explicit Patience(std::chrono::duration<double> time) : time_(time) {}

  [[nodiscard]] bool over() const {
    return processor_spent() > time_ || std::chrono::steady_clock::now() - begin_ > asleep * time_;
  }

  [[nodiscard]] std::chrono::duration<double> processor_spent() const {
    return processor() - processor_begin_;
  }

  // Of this process and of its children that have ended.
  static std::chrono::duration<double> processor() {
    timespec now{};
    ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    rusage children{};
    ::getrusage(RUSAGE_CHILDREN, &children);
    return std::chrono::seconds(now.tv_sec + children.ru_utime.tv_sec + children.ru_stime.tv_sec) +
           std::chrono::nanoseconds(now.tv_nsec) +
           std::chrono::microseconds(children.ru_utime.tv_usec + children.ru_stime.tv_usec);
  }

 private:
  static constexpr double asleep = 10;

  std::chrono::duration<double> time_;
  std::chrono::duration<double> processor_begin_ = processor();
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
};

}  // namespace nbdcheck
