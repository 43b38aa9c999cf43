// A program that runs beside us: what it prints is kept, its time is limited,
// and neither it nor what it started outlives this object.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <tl/expected.hpp>
#include <vector>

#include "sandbox/descriptor.hpp"
#include "sandbox/spawn.hpp"

namespace nbdcheck {

struct ProgramEnd : sandbox::WaitStatus {
  // "exited with status 1", "was killed by SIGABRT (Aborted)"
  [[nodiscard]] std::string words() const;
};

class Program {
 public:
  struct Spec {
    std::vector<std::string> words;  // words[0] is the file, or a name for $PATH
    int inherited = -1;              // becomes descriptor 3
  };

  // A thread of our own starts it and stays until it has ended: it is tied to the
  // thread that started it (prctl(2) PR_SET_PDEATHSIG), and so is one that ties
  // itself (nbdkit --exit-with-parent).
  static tl::expected<std::unique_ptr<Program>, std::string> start(Spec spec);
  ~Program();  // SIGKILL, to the whole group
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  [[nodiscard]] pid_t pid() const { return pid_; }
  [[nodiscard]] bool is_over() const;
  // False: it still runs.
  bool wait(std::chrono::milliseconds limit);
  // SIGTERM, after the limit SIGKILL.  False: the latter was needed.
  bool terminate(std::chrono::milliseconds limit);
  void kill();

  // REQUIRES: is_over().
  [[nodiscard]] ProgramEnd end() const;
  // The last 64 KiB each of what it printed so far.
  [[nodiscard]] std::string standard_output() const;
  [[nodiscard]] std::string standard_error() const;

 private:
  struct Stream {
    sandbox::Descriptor pipe;
    std::string text;
  };

  Program() = default;
  [[nodiscard]] int spawn(Spec& spec);
  void keep();  // the thread
  void read(Stream& stream);
  void reap();
  void signal(int number) const;

  sandbox::Descriptor process_;  // pidfd
  Stream output_;
  Stream error_;
  pid_t pid_ = 0;
  mutable std::mutex mutex_;  // of what follows, and the texts
  std::condition_variable changed_;
  bool started_ = false;
  int start_error_ = 0;
  bool over_ = false;
  ProgramEnd end_;
  std::thread keeper_;
};

}  // namespace nbdcheck
