// Saved histories: JSON Lines, one operation a line.  docs/formats.md shows one.
#pragma once

#include <string>
#include <tl/expected.hpp>

#include "judge/register_history.hpp"

namespace nbdcheck {

// {"client": 0, "op": "write", "sector": 7, "value": 4711, "begin": 100, "end": 140}
//
// op is read, write or zero; everything else an integer.  A zero needs no
// value.  Other keys are allowed and mean nothing.  The error is one line that
// names the place: it is no JSON, a key is missing, an operation ends before it
// begins, operations of one client overlap.
tl::expected<RegisterHistory, std::string> history_from_text(std::string text);
tl::expected<RegisterHistory, std::string> read_history(const std::string& path);

}  // namespace nbdcheck
