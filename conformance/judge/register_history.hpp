// A history of concurrent requests, sector by sector: every sector is a
// register that starts as 0.  Anyone may have recorded it; nothing here knows
// of plugins.
//
// Times are those of one clock, intervals are closed: of two operations the
// first comes before the second only if it ends at an earlier time than the
// other begins.  Those that share a time overlap.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace nbdcheck {

struct RegisterOp {
  enum class Kind : std::uint8_t { read, write, zero };

  std::uint64_t sector = 0;
  std::uint64_t value = 0;  // returned or written; a zero writes 0
  std::int64_t begin = 0;
  std::int64_t end = 0;
  std::int64_t client = 0;
  std::uint64_t line = 0;  // where it was read from, counted from 1
  Kind kind = Kind::read;

  [[nodiscard]] bool writes() const { return kind != Kind::read; }
};

using RegisterHistory = std::vector<RegisterOp>;

enum class Consistency : std::uint8_t { regular, atomic };

// Two to four operations that cannot all be right, and why.
struct RegisterClash {
  std::string why;
  std::vector<const RegisterOp*> witness;  // into the history, in order of begin
};

struct RegisterVerdict {
  std::uint64_t operations = 0;
  std::uint64_t sectors = 0;
  // One clash a sector, by sector number.
  std::vector<RegisterClash> clashes;
  // Sectors that would take too long to decide.  Never taken for good ones.
  std::vector<std::uint64_t> undecided;
};

// How many states the search for an order may visit in a sector where several
// writes wrote the same value.
constexpr std::size_t default_search_budget = 2'000'000;

RegisterVerdict judge_registers(std::span<const RegisterOp> history, Consistency consistency,
                                std::size_t search_budget = default_search_budget);

}  // namespace nbdcheck
