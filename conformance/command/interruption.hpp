// Ctrl-C and kill: nothing is left behind.  A thread waits for the signals, so
// that cleaning up need not be done in a signal handler.
#pragma once

#include <atomic>
#include <functional>
#include <thread>

namespace nbdcheck {

class Interruption {
 public:
  // Blocks SIGINT, SIGTERM and SIGHUP in this thread and those it starts.
  // When one comes: `clean_up`, then the process dies of it.
  explicit Interruption(std::function<void()> clean_up);
  ~Interruption();
  Interruption(const Interruption&) = delete;
  Interruption& operator=(const Interruption&) = delete;

 private:
  std::function<void()> clean_up_;
  std::atomic<bool> decided_ = false;  // either a signal came, or the end
  std::thread thread_;
};

}  // namespace nbdcheck
