// Which threads of a process wait for a mutex, and who has it.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace nbdcheck::sandbox {

struct LockWait {
  int thread = 0;
  std::uint64_t mutex = 0;  // its address in the process
  int owner = 0;            // a thread of the process, or of another if that has ended
  bool in_cycle = false;    // it waits for itself, by way of the owners
};

// REQUIRES: the process may be traced by the caller.  Mutexes of glibc, whose
// owner is written in them; other locks do not say.
std::vector<LockWait> lock_waits(int process);

// Fills in `in_cycle`.
void find_cycles(std::span<LockWait> waits);

}  // namespace nbdcheck::sandbox
