// The tools this process may run under.
#pragma once

namespace nbdcheck::sandbox {

bool under_valgrind();

// Whether a sanitizer's runtime is loaded: linked in, or preloaded.
bool under_sanitizer();

// Has `callback` called when a sanitizer has reported an error it will end the
// process for.
void at_sanitizer_death(void (*callback)());

}  // namespace nbdcheck::sandbox
