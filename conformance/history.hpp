// What happened: one fixed-size record per operation.  Judges read it; nothing
// in it refers to a plugin.
#pragma once

#include <cstdint>
#include <vector>

#include "plan/plan.hpp"

namespace nbdcheck {

struct Record {
  Operation operation;
  std::int32_t error = 0;    // Reply::error; 0: success
  std::uint64_t begin = 0;   // stamps on one clock; in a sequential history
  std::uint64_t end = 0;     // the operation's number, twice
};

using History = std::vector<Record>;

// A rule seen broken, in terms of the history alone.
struct Violation {
  std::string rule;
  std::string message;
  std::string expected;
  std::string actual;
  std::vector<std::string> details;
};

}  // namespace nbdcheck
