# nbdcheck_add_tests(TARGET
#                    [NAME name]            what the entries are called; default: TARGET
#                    [PLUGIN file]          TARGET is no target: the plugin's file
#                    [ARGS key=value ...]   as for nbdkit
#                    [PROFILE quick|standard|thorough]
#                    [SKIP regex ...]       checks not to run: shown as disabled
#                    [WAIVERS file]         nbdcheck --waivers
#                    [OPTIONS --option ...] more of nbdcheck's options
#                    [LABELS label ...]     besides "nbdcheck" and the check's group
#                    [ENVIRONMENT NAME=value ...]
#                    [ONE_AT_A_TIME]        for a plugin that cannot be served twice at once
#                    [TIMEOUT seconds]      default: a little above nbdcheck's own limit
#                    [WORKING_DIRECTORY dir])
#
# One CTest entry NAME.CHECK for each check that nbdcheck has, asked when the
# plugin has been linked, as gtest_discover_tests does: a newer nbdcheck brings
# its new checks by itself.  What does not apply to the plugin is skipped by
# CTest, with the reason in the entry's output.

set(NBDCHECK_DISCOVER_SCRIPT ${CMAKE_CURRENT_LIST_DIR}/nbdcheckDiscoverTests.cmake
    CACHE INTERNAL "Makes the CTest entries of a plugin")

function(nbdcheck_add_tests target)
  cmake_parse_arguments(PARSE_ARGV 1 arg "ONE_AT_A_TIME"
    "NAME;PLUGIN;PROFILE;WAIVERS;TIMEOUT;WORKING_DIRECTORY"
    "ARGS;SKIP;OPTIONS;LABELS;ENVIRONMENT")
  set(where "nbdcheck_add_tests(${target})")
  if(arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "${where}: unknown argument: ${arg_UNPARSED_ARGUMENTS}")
  endif()
  if(NOT arg_NAME)
    set(arg_NAME ${target})
  endif()
  if(arg_PLUGIN)
    set(plugin ${arg_PLUGIN})
  elseif(TARGET ${target})
    get_target_property(type ${target} TYPE)
    if(NOT type MATCHES "^(MODULE|SHARED)_LIBRARY$")
      message(FATAL_ERROR "${where}: a plugin is a MODULE library, not ${type}")
    endif()
    set(plugin $<TARGET_FILE:${target}>)
  else()
    message(FATAL_ERROR "${where}: there is no such target; for a plugin that "
                        "something else builds, add PLUGIN file")
  endif()
  if(NOT arg_PROFILE)
    set(arg_PROFILE standard)
  elseif(NOT arg_PROFILE MATCHES "^(quick|standard|thorough)$")
    message(FATAL_ERROR "${where}: PROFILE is quick, standard or thorough, not ${arg_PROFILE}")
  endif()
  if(arg_TIMEOUT AND NOT arg_TIMEOUT MATCHES "^[0-9]+$")
    message(FATAL_ERROR "${where}: TIMEOUT is a number of seconds, not ${arg_TIMEOUT}")
  endif()
  if(arg_WAIVERS)
    get_filename_component(arg_WAIVERS ${arg_WAIVERS} ABSOLUTE)
    if(NOT EXISTS ${arg_WAIVERS})
      message(FATAL_ERROR "${where}: WAIVERS ${arg_WAIVERS}: no such file")
    endif()
    list(APPEND arg_OPTIONS --waivers=${arg_WAIVERS})
  endif()
  if(NOT arg_WORKING_DIRECTORY)
    set(arg_WORKING_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR})
  endif()

  set(base ${CMAKE_CURRENT_BINARY_DIR}/nbdcheck-tests/${arg_NAME})
  get_property(known DIRECTORY PROPERTY NBDCHECK_TEST_NAMES)
  if(arg_NAME IN_LIST known)
    message(FATAL_ERROR "${where}: its entries would be called ${arg_NAME}.*, like those of "
                        "an earlier call; give it a NAME of its own")
  endif()
  set_property(DIRECTORY APPEND PROPERTY NBDCHECK_TEST_NAMES ${arg_NAME})

  # Read by the script: lists and odd characters would not survive a command line.
  set(settings "")
  set(arg_LOCK "")
  if(arg_ONE_AT_A_TIME)
    set(arg_LOCK nbdcheck-${target})
  endif()
  foreach(name NAME PROFILE LOCK TIMEOUT WORKING_DIRECTORY ARGS SKIP OPTIONS LABELS ENVIRONMENT)
    string(APPEND settings "set(${name} [==[${arg_${name}}]==])\n")
  endforeach()
  string(APPEND settings "set(NBDCHECK [==[$<TARGET_FILE:nbdcheck::nbdcheck>]==])\n"
                         "set(PLUGIN [==[${plugin}]==])\n"
                         "set(BASE [==[${base}]==])\n")
  file(GENERATE OUTPUT ${base}-settings.cmake CONTENT "${settings}")
  # A directory's include files must be there whether or not anything was built.
  file(WRITE ${base}-include.cmake
    "if(EXISTS [==[${base}-tests.cmake]==])\n"
    "  include([==[${base}-tests.cmake]==])\n"
    "else()\n"
    "  add_test([==[${arg_NAME}_NOT_BUILT]==] [==[${arg_NAME}_NOT_BUILT]==])\n"
    "endif()\n")
  set_property(DIRECTORY APPEND PROPERTY TEST_INCLUDE_FILES ${base}-include.cmake)

  set(discover ${CMAKE_COMMAND} -DSETTINGS=${base}-settings.cmake -P ${NBDCHECK_DISCOVER_SCRIPT})
  if(arg_PLUGIN)
    add_custom_target(${arg_NAME}_nbdcheck_tests ALL COMMAND ${discover}
      COMMENT "Finding the checks for ${arg_NAME}" VERBATIM)
    if(TARGET ${target})
      add_dependencies(${arg_NAME}_nbdcheck_tests ${target})
    endif()
  else()
    add_custom_command(TARGET ${target} POST_BUILD COMMAND ${discover} VERBATIM)
  endif()
  # Inside the same build the command has to be there first.
  get_target_property(imported nbdcheck::nbdcheck IMPORTED)
  if(NOT imported)
    if(arg_PLUGIN)
      add_dependencies(${arg_NAME}_nbdcheck_tests nbdcheck)
    else()
      add_dependencies(${target} nbdcheck)
    endif()
  endif()
endfunction()
