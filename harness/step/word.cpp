#include "step/word.hpp"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <ctime>

namespace nbdcheck::step {
namespace {

// About a microsecond each: the other side is often just about to be done.
constexpr int spins = 40;

std::chrono::nanoseconds now() {
  timespec time{};
  ::clock_gettime(CLOCK_MONOTONIC, &time);
  return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

void futex_wait(const void* word, std::uint32_t value, std::chrono::nanoseconds limit) {
  const timespec time{static_cast<time_t>(limit.count() / 1'000'000'000),
                      static_cast<long>(limit.count() % 1'000'000'000)};
  ::syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, &time, nullptr, 0);
}

}  // namespace

void Word::set(std::uint32_t value) {
  value_.store(value, std::memory_order_release);
  ::syscall(SYS_futex, &value_, FUTEX_WAKE_PRIVATE, INT_MAX, nullptr, nullptr, 0);
}

void Word::wait_while(std::uint32_t value) const {
  while (!wait_while(value, std::chrono::seconds(3600))) {
  }
}

bool Word::wait_while(std::uint32_t value, std::chrono::nanoseconds limit) const {
  for (int i = 0; i < spins; ++i) {
    if (get() != value) return true;
    for (int pause = 0; pause < 20; ++pause) {
#if defined(__x86_64__)
      __builtin_ia32_pause();
#endif
    }
  }
  const auto end = now() + limit;
  for (auto left = limit; get() == value; left = end - now()) {
    if (left.count() <= 0) return false;
    futex_wait(&value_, value, std::min<std::chrono::nanoseconds>(left, std::chrono::hours(1)));
  }
  return true;
}

}  // namespace nbdcheck::step
