// Sectors of a history as registers, where all operations on them are whole and
// went well.  Internal to the room.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "judge/concurrent_cells.hpp"

namespace nbdcheck {

struct SectorClash {
  std::uint64_t offset = 0;
  std::string why;
  std::vector<std::size_t> witness;  // records
};

struct AtomicOutcome {
  std::optional<SectorClash> clash;
  std::uint64_t undecided = 0;
};

AtomicOutcome judge_sector_order(std::span<const TimedRecord> history, std::span<const Cell> cells,
                                 const Sight& sight);

}  // namespace nbdcheck
