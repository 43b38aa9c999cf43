// Something a plugin may not survive, tried out in a copy of this process: its
// crash or hang there is a result and not the end of the check.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace nbdcheck {

struct TrialEnd {
  enum class Kind { finished, killed, exited, out_of_time, not_started };
  Kind kind = Kind::not_started;
  int signal = 0;                  // killed
  int status = 0;                  // exited: by itself, before it was at its end
  std::vector<std::string> lines;  // all that was said
  // Of a copy that forked: how the first process ended, which left by exit().
  bool first_hung = false;
  int first_signal = 0;

  // "was killed by SIGSEGV", "did not go on"...
  [[nodiscard]] std::string words() const;
};

// Inside the copy.
class Trial {
 public:
  // One line to the process that tries.
  void say(std::string_view line) const;
  // Forks as nbdkit does when it goes into the background: the caller returns
  // in the new process, and the old one leaves by exit().
  void go_into_background() const;
  // The only way to end well.
  [[noreturn]] void finish() const;

 private:
  friend TrialEnd run_trial(const std::function<void(const Trial&)>&, std::chrono::milliseconds);
  explicit Trial(int pipe) : pipe_(pipe) {}
  int pipe_;
};

// Forks, and runs `body` in the copy; `limit` is for all of it.  REQUIRES: no
// other thread of this process holds a lock.  While it waits the check counts
// as making progress.
TrialEnd run_trial(const std::function<void(const Trial&)>& body, std::chrono::milliseconds limit);

}  // namespace nbdcheck
