// What every program that is started here gets: a session of its own, the usual
// signals, and no descriptors but those it is given.
#pragma once

#include <fcntl.h>
#include <spawn.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <utility>
#include <vector>

#include "sandbox/descriptor.hpp"

namespace nbdcheck::sandbox {

// Above the numbers a program expects its descriptors at, so that no dup2
// overwrites the source of the next.
inline Descriptor raised(int fd) {
  const Descriptor low(fd);
  return Descriptor(fd < 0 ? -1 : ::fcntl(fd, F_DUPFD_CLOEXEC, 10));
}

// Reading from it never waits.
struct Pipe {
  Descriptor read;
  Descriptor write;

  Pipe() {
    std::array<int, 2> ends{-1, -1};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) return;
    read = Descriptor(ends[0]);
    write = raised(ends[1]);
    ::fcntl(ends[0], F_SETFL, O_NONBLOCK);
  }
  [[nodiscard]] bool valid() const { return read.valid() && write.valid(); }
};

class SpawnSettings {
 public:
  SpawnSettings() {
    posix_spawn_file_actions_init(&actions_);
    posix_spawnattr_init(&attributes_);
    sigset_t none;
    sigset_t all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_setsigmask(&attributes_, &none);
    posix_spawnattr_setsigdefault(&attributes_, &all);
    // A session of its own, which is also a process group: the plugin has no
    // terminal to talk to, what it leaves behind can be told from other
    // processes of ours, and it can be ended as a whole.
    posix_spawnattr_setflags(&attributes_,
                             POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  }
  ~SpawnSettings() {
    posix_spawn_file_actions_destroy(&actions_);
    posix_spawnattr_destroy(&attributes_);
  }
  SpawnSettings(const SpawnSettings&) = delete;
  SpawnSettings& operator=(const SpawnSettings&) = delete;

  void give(const Descriptor& from, int to) {
    posix_spawn_file_actions_adddup2(&actions_, from.get(), to);
    given_.emplace_back(from.get(), to);
  }
  void close_from(int first) {
    posix_spawn_file_actions_addclosefrom_np(&actions_, first);
    first_closed_ = first;
  }

  // `file` is looked for in $PATH when it has no slash.  0, or an errno.
  int start(pid_t& pid, const char* file, char** arguments, char** environment) {
    return ::posix_spawnp(&pid, file, &actions_, &attributes_, arguments, environment);
  }

  // The same, and the program is killed when the calling thread ends.  One that asks
  // for that itself (nbdkit --exit-with-parent) asks in vain when the thread has
  // ended before it does.
  int start_tied(pid_t& pid, const char* file, char** arguments, char** environment);

 private:
  posix_spawn_file_actions_t actions_{};
  posix_spawnattr_t attributes_{};
  std::vector<std::pair<int, int>> given_;
  int first_closed_ = -1;
};

}  // namespace nbdcheck::sandbox
