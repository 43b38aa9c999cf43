// How much longer everything may take under an instrument.
#pragma once

namespace nbdcheck {

inline constexpr double sanitizer_time_scale = 10;
inline constexpr double valgrind_time_scale = 30;

}  // namespace nbdcheck
