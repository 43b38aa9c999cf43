// What the other threads of this process are at, read while they wait.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "checks/leftover_threads.hpp"

namespace nbdcheck {

// A thread that waits in a system call; both 0: it runs.
struct Waiting {
  std::uint64_t stack_pointer = 0;
  std::uint64_t program_counter = 0;
};
Waiting waiting_at(int thread);

// The words between, as far as they can be read.
std::vector<std::uint64_t> words_at(std::uint64_t begin, std::uint64_t end);

// Of each thread but the caller the functions of `code` that it is in, innermost
// first, by what its stack holds: a function that has returned may be among them.
// "thread 12: runtime.usleep, runtime.sysmon"
std::vector<std::string> describe_threads(const CodeOfPlugin& code);

}  // namespace nbdcheck
