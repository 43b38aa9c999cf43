// Phases by which the runner tells why a child died there: the words of
// set_phase that rules are chosen by.
#pragma once

#include <string_view>

namespace nbdcheck {

// The request after one that failed; a hang here is a lock still held.
inline constexpr const char* phase_after_error = "serving the request after one that failed";
// RLIMIT_NOFILE is used up.
inline constexpr const char* phase_no_descriptor = "running out of file descriptors";
// It is not any more, and the server stops.
inline constexpr const char* phase_descriptors_again = "stopping, with descriptors again";
// nbdkit_add_extent fails; to end where memory does may be a plugin's policy.
inline constexpr const char* phase_no_memory = "having no memory for a map";

// The plugin's file is gone from memory; a crash now is a thread that ran on in it.
inline constexpr const char* phase_unloaded = "looking at what is left after .unload";

}  // namespace nbdcheck
