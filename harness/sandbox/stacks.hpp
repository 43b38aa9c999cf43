// The stacks of all threads of a child that crashed or hangs, by ptrace.
#pragma once

#include <string>
#include <vector>

#include "nbdcheck/sandbox.hpp"

namespace nbdcheck::sandbox {

struct Stacks {
  std::vector<ThreadStack> threads;  // culprits first
  std::string problem;               // why they are incomplete; "": they are not
};

// REQUIRES: `process` exists and was made by this process.
Stacks take_stacks(int process, const StatusPage& page);

// Drops the frames of signal handlers and of the functions that end a process
// (raise, a sanitizer's report) so that the frame to blame comes first.
// `instruction`: where the crash was, 0: unknown.
void trim_to_blame(std::vector<StackFrame>& frames, std::uint64_t instruction);

}  // namespace nbdcheck::sandbox
