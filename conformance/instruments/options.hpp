// How sanitizers behave in our processes.
#pragma once

namespace nbdcheck {

// In a child: memory that nothing refers to is looked for from now on, when
// look_for_leaks() is called.
void watch_leaks();

}  // namespace nbdcheck
