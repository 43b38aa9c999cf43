// What happened: one small record per operation, in the order in which they
// ran.  Judges read it; nothing in it refers to a plugin.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "plan/plan.hpp"

namespace nbdcheck {

struct Record {
  Operation operation;
  std::int32_t error = 0;  // Reply::error; 0: success
};

using History = std::vector<Record>;

// The same of an operation that others may have overlapped.  Times are those of
// one clock, in nanoseconds; the operation lies within [begin, end].
struct TimedRecord {
  Operation operation;
  std::int32_t error = 0;
  bool done = false;  // false: its connection was not open
  std::int64_t begin = 0;
  std::int64_t end = 0;
  std::span<const std::byte> data;  // of a read; kept by whoever recorded it

  [[nodiscard]] bool ok() const { return done && error == 0; }
};

// A rule seen broken, in terms of the history alone.
struct Violation {
  std::string rule;
  std::string message;
  std::string expected;
  std::string actual;
  std::vector<std::string> details;
};

}  // namespace nbdcheck
