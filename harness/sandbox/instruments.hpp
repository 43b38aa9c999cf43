// The tools this process may run under.
#pragma once

#include "nbdcheck/instruments.hpp"

namespace nbdcheck::sandbox {

using nbdcheck::under_sanitizer;
using nbdcheck::under_valgrind;

// Has `callback` called when a sanitizer has reported an error it will end the
// process for.
void at_sanitizer_death(void (*callback)());

}  // namespace nbdcheck::sandbox
