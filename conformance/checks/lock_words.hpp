// Circles of locks in words.
#pragma once

#include <string>
#include <vector>

#include "nbdcheck/code.hpp"
#include "nbdcheck/locks.hpp"

namespace nbdcheck {

// "lock counter_mutex is taken by flush at disk.c:12 ...", a line for each step.
std::vector<std::string> order_words(const LockCycle& cycle, const Code& code);
// The same of threads that wait for each other.
std::vector<std::string> deadlock_words(const LockCycle& cycle, const Code& code);

}  // namespace nbdcheck
