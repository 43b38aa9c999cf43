# cmake -DSETTINGS=FILE -P nbdcheckDiscoverTests.cmake
#
# Asks nbdcheck for its checks, and writes the CTest entries of one plugin; run
# by what nbdcheck_add_tests puts behind the linking of the plugin.
cmake_minimum_required(VERSION 3.19)
include(${SETTINGS})

execute_process(COMMAND ${NBDCHECK} list --checks --format=json --profile=${PROFILE}
  OUTPUT_VARIABLE json ERROR_VARIABLE problem RESULT_VARIABLE result)
if(NOT result EQUAL 0)
  message(FATAL_ERROR "${NBDCHECK} does not list its checks (${result}): ${problem}")
endif()

function(quote to)
  set(text "")
  foreach(word IN LISTS ARGN)
    string(APPEND text " [==[${word}]==]")
  endforeach()
  set(${to} "${text}" PARENT_SCOPE)
endfunction()

# Under an instrument all of nbdcheck's limits are longer.  A sanitizer is told by the
# names of its runtime in the plugin.
set(instrument "")
file(STRINGS ${PLUGIN} runtime LIMIT_COUNT 1
  REGEX "^__(asan|tsan|msan|hwasan|lsan|ubsan)_|^lib(clang_rt\\.)?(a|t|m|hwa|l|ub)san[._-]")
if("--valgrind" IN_LIST OPTIONS)
  set(instrument valgrind)
elseif(runtime)
  set(instrument sanitizer)
endif()
set(times 1)
if(instrument)
  string(JSON times GET ${json} limits_times ${instrument})
  string(REGEX REPLACE "\\..*" "" times "${times}")
endif()

set(tests "")
string(JSON count LENGTH ${json} checks)
math(EXPR last "${count} - 1")
foreach(i RANGE ${last})
  string(JSON id GET ${json} checks ${i} id)
  string(JSON limit GET ${json} checks ${i} limit)
  string(REGEX MATCH "^[^.]+" group ${id})
  string(REPLACE "." "\\." pattern ${id})
  # Each check gets the share of time that it has in a run of them all, so that
  # the entries find what such a run finds.
  quote(command ${NBDCHECK} --only=^${pattern}$ --time=share --profile=${PROFILE} --jobs=1
        --color=never --artifacts=${BASE}-artifacts/${id} ${OPTIONS} -- ${PLUGIN} ${ARGS})
  if(NOT TIMEOUT)
    math(EXPR seconds "(${limit} + 30) * ${times}")
  else()
    set(seconds ${TIMEOUT})
  endif()
  set(disabled FALSE)
  foreach(regex IN LISTS SKIP)
    if(id MATCHES "${regex}")
      set(disabled TRUE)
    endif()
  endforeach()
  set(processors 1)
  if(group STREQUAL "concurrency")
    set(processors 2)
  endif()
  quote(name ${NAME}.${id})
  string(APPEND tests "add_test(${name}${command})\n"
    "set_tests_properties(${name} PROPERTIES\n"
    "  TIMEOUT ${seconds} PROCESSORS ${processors} DISABLED ${disabled}\n"
    "  RESOURCE_LOCK [==[${LOCK}]==]\n"
    "  LABELS [==[nbdcheck;${group};${LABELS}]==]\n"
    # Not by the exit status: a plugin that does not even start is no reason to
    # skip anything.
    "  SKIP_REGULAR_EXPRESSION [==[NOTHING CHECKED: (not applicable|undecided)]==]\n"
    "  ENVIRONMENT [==[${ENVIRONMENT}]==]\n"
    "  WORKING_DIRECTORY [==[${WORKING_DIRECTORY}]==])\n")
endforeach()
file(WRITE ${BASE}-tests.cmake "${tests}")
