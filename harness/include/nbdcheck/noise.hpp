// Makes the threads of a plugin run into each other: whatever the plugin calls
// of locks, memory and files is preceded and followed by a moment in which
// another thread may run, now and then, by a seeded choice of each thread.
// Copies of memory are done in two parts.  While no Noise exists all is as it
// always is.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "nbdcheck/code.hpp"

namespace nbdcheck {

struct NoiseOptions {
  std::uint64_t seed = 0;
  // 0 to 1: how often.  At 1 every fourth call yields or sleeps.
  double intensity = 0.5;
  // Instructions of the plugin at which a thread may be made to wait, too; as
  // Stepper records them.  x86-64 only.
  std::vector<std::uint64_t> places = {};
};

// One at a time in a process.  REQUIRES: the plugin is loaded, and stays so.
class Noise {
 public:
  Noise(const Code& code, NoiseOptions options);
  ~Noise();
  Noise(const Noise&) = delete;
  Noise& operator=(const Noise&) = delete;

  // Imports of the plugin that go through us.
  [[nodiscard]] std::size_t imports() const;
  // How often a thread was made to yield or wait.
  [[nodiscard]] std::uint64_t disturbances() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace nbdcheck
