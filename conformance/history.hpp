// What happened: one small record per operation, in the order in which they
// ran.  Judges read it; nothing in it refers to a plugin.
#pragma once

#include <cstdint>
#include <vector>

#include "plan/plan.hpp"

namespace nbdcheck {

struct Record {
  Operation operation;
  std::int32_t error = 0;  // Reply::error; 0: success
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
