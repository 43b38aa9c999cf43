// Phases by which the runner tells why a child died there: the words of
// set_phase that rules are chosen by.
#pragma once

#include <string_view>

namespace nbdcheck {

// The request after one that failed; a hang here is a lock still held.
inline constexpr const char* phase_after_error = "serving the request after one that failed";
// RLIMIT_NOFILE is used up.
inline constexpr const char* phase_no_descriptor = "running out of file descriptors";

}  // namespace nbdcheck
