// What the runtimes of sanitizers are told before anything runs, where the user
// says nothing else (ASAN_OPTIONS ...).  An error ends the child: the operation that
// did it is in the log then, and becomes the plan.  Each line of a stack names its
// module, so that the plugin's can be told from ours.
#include "instruments/options.hpp"

#define NBDCHECK_FORMAT "stack_trace_format=\"    #%n %p in %f %S %M\""
#define NBDCHECK_HOOK extern "C" [[gnu::visibility("default"), gnu::used]]

namespace {
bool looks_for_leaks = false;
}

NBDCHECK_HOOK const char* __asan_default_options();
NBDCHECK_HOOK const char* __ubsan_default_options();
NBDCHECK_HOOK const char* __tsan_default_options();
NBDCHECK_HOOK const char* __lsan_default_options();
NBDCHECK_HOOK int __lsan_is_turned_off();

const char* __asan_default_options() {
  // A plugin may ask for more memory than there is, and be told so; what it does
  // then is the point.  Stacks that outlive their function confuse those who look
  // for words of theirs.
  return "allocator_may_return_null=1:detect_stack_use_after_return=0:" NBDCHECK_FORMAT;
}

const char* __ubsan_default_options() {
  return "halt_on_error=1:print_stacktrace=1:" NBDCHECK_FORMAT;
}

const char* __tsan_default_options() {
  // Checks fork, and call functions in signal handlers, on purpose.
  return "halt_on_error=1:die_after_fork=0:report_signal_unsafe=0:second_deadlock_stack=1:"
         "allocator_may_return_null=1:" NBDCHECK_FORMAT;
}

const char* __lsan_default_options() { return NBDCHECK_FORMAT; }

// The parent has no plugin.
int __lsan_is_turned_off() { return looks_for_leaks ? 0 : 1; }

namespace nbdcheck {
void watch_leaks() { looks_for_leaks = true; }
}  // namespace nbdcheck
