# nbdcheck-asan, nbdcheck-lsan and nbdcheck-tsan: the command with the runtime of a
# sanitizer, for plugins that were built with one.
#
# AddressSanitizer, LeakSanitizer and UndefinedBehaviorSanitizer need no more than
# their runtime in the program: ours is linked once more.  It stays uninstrumented,
# so that reports are about the plugin.  ThreadSanitizer must see how our threads
# order what they do, or it would take one after the other for at once: what runs
# plans and calls plugins is compiled again for it.
include(CheckCXXSourceCompiles)

function(nbdcheck_instrumented suffix sanitizers)
  set(CMAKE_REQUIRED_FLAGS -fsanitize=${sanitizers})
  string(TOUPPER ${suffix} upper)
  check_cxx_source_compiles("int main() {}" NBDCHECK_HAVE_${upper})
  if(NOT NBDCHECK_HAVE_${upper})
    return()
  endif()
  set(name nbdcheck-${suffix})
  add_executable(${name} nbdcheck.cpp)
  target_link_libraries(${name} PRIVATE ${ARGN} nbdcheck_command nbdcheck_checks nbdcheck_harness)
  target_link_options(${name} PRIVATE -fsanitize=${sanitizers})
  nbdcheck_warnings(${name})
  install(TARGETS ${name} RUNTIME)
endfunction()

option(NBDCHECK_INSTRUMENTED "Build nbdcheck-asan, -lsan and -tsan, for plugins built with sanitizers"
       ${PROJECT_IS_TOP_LEVEL})
if(NBDCHECK_SANITIZE OR NOT NBDCHECK_INSTRUMENTED)
  return()
endif()

nbdcheck_instrumented(asan address,undefined)
nbdcheck_instrumented(lsan leak)

# Linked whole: then the linker finds nothing more to take from the plain ones.
set(whole "")
foreach(library nbdcheck_harness_core nbdcheck_execute)
  get_target_property(sources ${library} SOURCES)
  get_target_property(directory ${library} SOURCE_DIR)
  list(TRANSFORM sources PREPEND ${directory}/ REGEX "^[^/]")
  add_library(${library}_tsan STATIC EXCLUDE_FROM_ALL ${sources})
  foreach(property INCLUDE_DIRECTORIES COMPILE_DEFINITIONS)
    get_target_property(value ${library} ${property})
    if(value)
      set_property(TARGET ${library}_tsan PROPERTY ${property} ${value})
    endif()
  endforeach()
  target_link_libraries(${library}_tsan PRIVATE $<TARGET_PROPERTY:${library},LINK_LIBRARIES>)
  target_compile_options(${library}_tsan PRIVATE -fsanitize=thread -fno-omit-frame-pointer -g1)
  # g++ 12 does not instrument fences, and says so.
  target_compile_options(${library}_tsan PRIVATE $<$<CXX_COMPILER_ID:GNU>:-Wno-tsan>)
  nbdcheck_warnings(${library}_tsan)
  nbdcheck_group_files(${library}_tsan)
  nbdcheck_seldom_runs(${library}_tsan)
  list(APPEND whole $<LINK_LIBRARY:WHOLE_ARCHIVE,${library}_tsan>)
endforeach()
nbdcheck_instrumented(tsan thread ${whole})
