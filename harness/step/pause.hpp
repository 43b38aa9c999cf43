// A moment in which another thread may run.  Safe in a signal handler.
#pragma once

#include <sched.h>

#include <atomic>
#include <cstdint>
#include <ctime>

namespace nbdcheck::step {

// splitmix64: a state of one word, good enough from any seed.
inline constexpr std::uint64_t next_state = 0x9e3779b97f4a7c15;
inline std::uint64_t drawn_from(std::uint64_t state) {
  std::uint64_t z = state + next_state;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

// By all threads together.
class SharedDraws {
 public:
  void seed(std::uint64_t seed) { state_.store(seed, std::memory_order_relaxed); }
  std::uint64_t next() {
    return drawn_from(state_.fetch_add(next_state, std::memory_order_relaxed));
  }

 private:
  std::atomic<std::uint64_t> state_{1};
};

// From a yield to 160 us, as `draw` has it.
inline void pause_a_little(std::uint64_t draw) {
  if (draw % 4 == 0) {
    ::sched_yield();
    return;
  }
  const timespec time{0, static_cast<long>(10'000 + draw / 4 % 150'000)};
  ::nanosleep(&time, nullptr);
}

}  // namespace nbdcheck::step
