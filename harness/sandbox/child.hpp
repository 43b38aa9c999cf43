// Inside the child: what the crash handlers and ChildSide share.
#pragma once

#include "nbdcheck/status_page.hpp"

namespace nbdcheck::sandbox {

// Descriptors the parent hands over, and the environment variable that tells a
// child (and every process it starts) from others: "<parent's pid>:<random>".
inline constexpr int event_descriptor = 3;
inline constexpr int page_descriptor = 4;
inline constexpr int input_descriptor = 5;
inline constexpr char marker_variable[] = "NBDCHECK_CHILD";

// How long a dying child waits for the parent to look at it.
inline constexpr int release_seconds = 20;

// Signal handlers and exit hook.  REQUIRES: the shared page is in use.
void install_crash_handlers();

// The rest may be called from a signal handler.

// Makes the parent look at the page now rather than at its next tick.
void nudge_parent();
// Waits until the parent has taken what it wants, or release_seconds.
void await_release(StatusPage& page);

}  // namespace nbdcheck::sandbox
