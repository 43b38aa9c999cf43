// The words of the text form that are not in plan.hpp.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "nbdcheck/connection.hpp"
#include "nbdcheck/types.hpp"
#include "plan/plan.hpp"

namespace nbdcheck::plan_words {

inline constexpr std::string_view first_line = "nbdcheck-plan";
inline constexpr std::string_view last_line = "end";

struct FlagName {
  std::uint32_t bit;
  std::string_view name;
};
inline constexpr std::array<FlagName, 5> flags{{{command_flag::fua, "FUA"},
                                                {command_flag::no_hole, "NO_HOLE"},
                                                {command_flag::df, "DF"},
                                                {command_flag::req_one, "REQ_ONE"},
                                                {command_flag::fast_zero, "FAST_ZERO"}}};

inline constexpr std::array<OpKind, 9> kinds{OpKind::open,  OpKind::close, OpKind::read,
                                             OpKind::write, OpKind::flush, OpKind::trim,
                                             OpKind::zero,  OpKind::cache, OpKind::extents};

inline constexpr std::array<std::string_view, 3> payloads{"tags", "zeroes", "ones"};
inline constexpr std::array<std::string_view, 3> buffers{"direct", "guarded", "guarded-odd"};

}  // namespace nbdcheck::plan_words
