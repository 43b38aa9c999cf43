#include <cstdlib>
#include <string_view>

#include "nbdcheck/sandbox.hpp"
#include "sandbox/valgrind.hpp"

#if __has_include(<valgrind/valgrind.h>)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#include <valgrind/valgrind.h>
#pragma GCC diagnostic pop
#endif

// Of the sanitizers' common runtime, there or not: also true of a plain build
// that runs with a preloaded one.
extern "C" [[gnu::weak]] void __sanitizer_set_death_callback(void (*callback)());

namespace nbdcheck {
namespace sandbox {

bool under_valgrind() {
#if defined(RUNNING_ON_VALGRIND)
  return RUNNING_ON_VALGRIND != 0;
#else
  const char* preload = std::getenv("LD_PRELOAD");
  return preload != nullptr &&
         std::string_view(preload).find("vgpreload") != std::string_view::npos;
#endif
}

}  // namespace sandbox

double time_scale() {
  if (sandbox::under_valgrind()) return 30;
  return __sanitizer_set_death_callback != nullptr ? 10 : 1;
}

}  // namespace nbdcheck
