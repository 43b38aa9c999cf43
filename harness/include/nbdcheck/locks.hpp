// The locks a plugin takes: who holds what and waits for what, and in which
// order they are taken.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "nbdcheck/code.hpp"

namespace nbdcheck {

// Two or more locks that are taken in a circle: each while the one before is
// held.
struct LockCycle {
  struct Step {
    std::uint64_t held;     // address of a lock
    std::uint64_t wanted;   // taken while `held` was held
    std::uint64_t held_at;  // return address of the call that took it
    std::uint64_t wanted_at;
    int thread;
  };
  std::vector<Step> steps;
};

// One at a time in a process.  REQUIRES: the plugin is loaded, and stays so.
class LockWatch {
 public:
  explicit LockWatch(const Code& code);
  ~LockWatch();
  LockWatch(const LockWatch&) = delete;
  LockWatch& operator=(const LockWatch&) = delete;

  // Threads that wait for each other right now, and will for ever.
  [[nodiscard]] std::vector<LockCycle> deadlocks() const;
  // Orders in which different threads took locks, and that could have become a
  // deadlock: not those that a further lock, held both times, keeps apart.
  [[nodiscard]] std::vector<LockCycle> inversions() const;
  // How often any lock was taken.
  [[nodiscard]] std::uint64_t taken() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace nbdcheck
