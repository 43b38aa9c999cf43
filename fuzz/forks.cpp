#include "forks.hpp"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>

namespace nbdcheck::fuzz {
namespace {

// A helper of the plugin's that stays costs each of its inputs this long.
constexpr std::chrono::milliseconds patience{500};

constexpr std::size_t most = 8;  // further ones are not waited for
std::array<std::atomic<int>, most> reading;
std::atomic<std::size_t> count;
std::atomic<bool> noting;
// fork(2) runs its handlers on the thread that calls it.
thread_local std::array<int, 2> pipe_ends{-1, -1};

void before() {
  pipe_ends = {-1, -1};
  if (noting && ::pipe2(pipe_ends.data(), O_CLOEXEC) != 0) pipe_ends = {-1, -1};
}

void in_parent() {
  if (pipe_ends[0] < 0) return;
  ::close(pipe_ends[1]);
  if (const std::size_t i = count.fetch_add(1); i < most)
    reading[i] = pipe_ends[0];
  else
    ::close(pipe_ends[0]);
}

// It keeps the end for writing.
void in_child() {
  if (pipe_ends[0] >= 0) ::close(pipe_ends[0]);
}

}  // namespace

void note_forks(bool noted) {
  static const int registered = ::pthread_atfork(before, in_parent, in_child);
  noting = noted && registered == 0;
}

void await_forks() {
  const std::size_t noted = count.load();
  if (noted == 0) return;
  const auto limit = std::chrono::steady_clock::now() + patience;
  for (std::size_t i = 0; i < noted && i < most; ++i) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        limit - std::chrono::steady_clock::now());
    pollfd ended{reading[i].load(), POLLIN, 0};
    ::poll(&ended, 1, left.count() > 0 ? static_cast<int>(left.count()) : 0);
    ::close(ended.fd);
  }
  count = 0;
}

}  // namespace nbdcheck::fuzz
