// What a plugin does to guarded buffers ends the process by a signal; here is noted
// where it hit, before whoever handles the signal does.
#pragma once

#include <atomic>

#include "execute/guard_fault.hpp"

namespace nbdcheck::fuzz {

struct NotedFault {  // in shared memory
  std::atomic<bool> noted{false};
  GuardFault fault;
};

// From now on in `where`.  To be called when the handlers of others are there.
void note_guard_faults(NotedFault& where);

}  // namespace nbdcheck::fuzz
