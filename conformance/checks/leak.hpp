// What a process holds, and whether it holds more after each of several equal
// rounds of work.  A first use may allocate what is kept (caches, lazy
// initialisation); what grows round after round by as much as was done is a
// leak.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

namespace nbdcheck {

struct Holdings {
  std::uint64_t descriptors = 0;
  std::uint64_t heap = 0;  // bytes given out by malloc
};
Holdings holdings_now();

struct Leak {
  enum class Of { nothing, descriptors, memory };
  Of of = Of::nothing;
  std::uint64_t per_request = 0;
};

// Runs `round` of `requests` requests several times.  A leak is reported only
// when every round after the first two leaves at least one descriptor for two
// requests, or 16 bytes for each.
Leak find_leak(std::uint64_t requests, const std::function<void()>& round);

}  // namespace nbdcheck
