// Ctrl-C and kill: nothing is left behind.  A thread waits for the signals, so
// that cleaning up need not be done in a signal handler.
#pragma once

#include <atomic>
#include <csignal>
#include <functional>
#include <thread>

namespace nbdcheck {

class Interruption {
 public:
  // Blocks SIGINT, SIGTERM and SIGHUP in this thread and those it starts, so that
  // none comes between something's being made and its being known to clean_up.
  // Those that are ignored stay so: nohup, and what a script runs with "&".
  Interruption();
  ~Interruption();
  Interruption(const Interruption&) = delete;
  Interruption& operator=(const Interruption&) = delete;

  // When one comes, or has come: `clean_up`, then the process dies of it.
  void watch(std::function<void()> clean_up);

 private:
  sigset_t signals_;
  std::function<void()> clean_up_;
  std::atomic<bool> decided_ = false;  // either a signal came, or the end
  std::thread thread_;
};

}  // namespace nbdcheck
