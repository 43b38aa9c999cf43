// Whether an x86-64 instruction can be seen by another thread.  Stopping before
// or after one that cannot comes to the same.
#pragma once

#include <cstdint>

namespace nbdcheck::step {

// False only where it is sure that the instruction reads and writes nothing but
// registers and the stack (by way of the stack pointer).
bool touches_memory(const std::uint8_t* code);

}  // namespace nbdcheck::step
