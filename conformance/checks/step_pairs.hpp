// Which two requests to run into each other: pairs that meet in the places
// where plugins share something.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "plan/plan.hpp"
#include "subject.hpp"

namespace nbdcheck {

// Where the requests of one meeting lie: an area of its own for each, so that
// none meets what an earlier one left.
struct StepSpace {
  std::uint64_t span = 0;     // bytes of an area, a power of two
  std::uint64_t areas = 0;    // that there are
  std::uint64_t far = 0;      // from an area to its distant part
  std::uint64_t block = 0;    // about 4 KiB, whole minimum blocks
  std::uint64_t unit = 0;     // about a sector
  std::uint64_t longest = 0;  // of a request, whole blocks
};
StepSpace step_space(const Subject& subject);  // no areas: too small an export, or its requests

struct StepRequest {
  OpKind kind = OpKind::read;  // open, close: of a further connection
  std::uint64_t offset = 0;    // in the area
  std::uint32_t count = 0;
  bool far = false;
};

enum class StepState : std::uint8_t {
  filled,     // all that is touched was written before
  cold,       // nothing there was touched since the plugin started
  first_use,  // nor anything else
};

struct StepPair {
  StepRequest a;  // is interrupted
  StepRequest b;  // runs meanwhile
  StepState state = StepState::filled;
  bool small_fill = false;  // in pieces smaller than a block
  bool two_handles = false;

  [[nodiscard]] bool opens() const;  // or closes a connection
  [[nodiscard]] std::string text() const;
  [[nodiscard]] std::string first_text() const;  // of A and the state alone
};

// In order of what is found by them, the cheap ones first.
std::vector<StepPair> step_pairs(const Subject& subject, const StepSpace& space);

}  // namespace nbdcheck
