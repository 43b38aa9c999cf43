// Breakpoints at changing places of a plugin's code, one at a time: whichever
// thread comes by waits there a little, and puts up the next one.
//
// A timer's signal would do the same, and would end system calls with EINTR,
// which is not for us to do to a plugin.
#pragma once

#include <sys/ucontext.h>

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

#include "nbdcheck/code.hpp"

namespace nbdcheck::step {

class RandomTraps {
 public:
  // `places`: where instructions begin; none: nothing is done.
  RandomTraps(const Code& code, std::vector<std::uint64_t> places, std::uint64_t seed);
  ~RandomTraps();
  RandomTraps(const RandomTraps&) = delete;
  RandomTraps& operator=(const RandomTraps&) = delete;

  [[nodiscard]] std::uint64_t count() const;

 private:
  void move_on();

  std::atomic<bool> stopping_{false};
  std::thread mover_;  // of those that nobody comes by
};

// For the signal handler: true if that was one of these breakpoints.
bool meets_random_trap(ucontext_t& context, std::uint64_t address);

// "" or why the plugin's text could not be made writable.
std::string make_writable(const Code& code);

}  // namespace nbdcheck::step
