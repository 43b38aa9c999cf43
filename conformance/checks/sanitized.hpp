// Some checks take away what an instrument needs: file descriptors to look at
// memory with, an exit() of a forked process without reports, the trap signal.
#pragma once

#include <string>

#include "nbdcheck/instruments.hpp"

namespace nbdcheck {

// Why such a check does not apply; "": it does.
inline std::string why_instrumented() {
  if (under_sanitizer()) return "runs with a sanitizer";
  if (under_valgrind()) return "runs under valgrind";
  return "";
}

}  // namespace nbdcheck
