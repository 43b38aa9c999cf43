// What two requests that ran at once may have read, and left behind: nothing
// but values that one of them wrote, or that were there before where neither
// did.  Which of them comes last nobody can say.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "plan/plan.hpp"

namespace nbdcheck {

struct CollisionOp {
  OpKind kind = OpKind::read;
  std::uint64_t offset = 0;
  std::uint32_t count = 0;
  bool succeeded = true;
  std::vector<std::byte> data = {};  // of a write, or what a read returned
};

// A part of the export that the requests touch, or that lies next to it.
struct CollisionRange {
  std::uint64_t offset = 0;
  std::vector<std::byte> before;  // empty: not known
  std::vector<std::byte> after;   // once both had ended; empty: could not be read
};

struct Clash {
  // torn: each byte is right, but not a sector as a whole.
  enum class Kind : std::uint8_t { wrong, torn_sector, torn_read };
  Kind kind = Kind::wrong;
  std::string message;
  std::string expected;
  std::string actual;
};

// The first clash; one that is torn only where nothing else is wrong.  `names`
// are how to speak of the two.
std::optional<Clash> judge_collision(std::span<const CollisionOp, 2> ops,
                                     std::span<const std::string, 2> names,
                                     std::span<const CollisionRange> ranges);

}  // namespace nbdcheck
