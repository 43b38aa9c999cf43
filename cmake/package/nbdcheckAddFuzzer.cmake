# nbdcheck_add_fuzzer(NAME
#                     SOURCES file ...       of the plugin
#                     [ARGS key=value ...]   as for nbdkit
#                     [LIBRARIES library ...] that the plugin needs
#                     [CORPUS directory]     inputs to replay; default: nbdcheck's seeds
#                     [LABELS label ...])
#
#   NAME          the plugin, compiled for coverage and linked with the target that drives
#                 and judges it: a libFuzzer program.  Only with clang, or with another
#                 engine that $LIB_FUZZING_ENGINE names
#   NAME_replay   the same without an engine, and a CTest entry NAME.corpus
#   NAME_plugin   the plugin itself, which the plans and scripts of findings name
#
# find_package(nbdcheck COMPONENTS library) first.

set(NBDCHECK_SEEDS "" CACHE INTERNAL "Seed corpus for fuzzers of plugins")

function(nbdcheck_add_fuzzer name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "CORPUS" "SOURCES;ARGS;LIBRARIES;LABELS")
  set(where "nbdcheck_add_fuzzer(${name})")
  if(arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "${where}: unknown argument: ${arg_UNPARSED_ARGUMENTS}")
  endif()
  if(NOT arg_SOURCES)
    message(FATAL_ERROR "${where}: SOURCES are missing")
  endif()
  if(NOT TARGET nbdcheck::nbdcheck_fuzz)
    message(FATAL_ERROR "${where}: find_package(nbdcheck REQUIRED COMPONENTS library) first")
  endif()

  add_library(${name}_plugin MODULE ${arg_SOURCES})
  set_target_properties(${name}_plugin PROPERTIES PREFIX "")
  target_link_libraries(${name}_plugin PRIVATE ${arg_LIBRARIES})

  list(JOIN arg_ARGS " " arguments)
  string(REPLACE "\\" "\\\\" arguments "${arguments}")
  string(REPLACE "\"" "\\\"" arguments "${arguments}")
  set(settings ${CMAKE_CURRENT_BINARY_DIR}/nbdcheck-fuzzers/${name}.c)
  file(GENERATE OUTPUT ${settings} CONTENT
    "const char *const nbdcheck_fuzzer_arguments = \"${arguments}\";\n\
const char *const nbdcheck_fuzzer_plugin = \"$<TARGET_FILE:${name}_plugin>\";\n")

  set(engine "$ENV{LIB_FUZZING_ENGINE}")
  if(NOT engine AND CMAKE_C_COMPILER_ID MATCHES Clang AND CMAKE_CXX_COMPILER_ID MATCHES Clang)
    set(engine -fsanitize=fuzzer)
  endif()
  set(programs ${name}_replay)
  if(engine)
    list(APPEND programs ${name})
  else()
    message(STATUS "${where}: no clang and no $LIB_FUZZING_ENGINE, so only ${name}_replay")
  endif()
  foreach(program IN LISTS programs)
    add_executable(${program} ${arg_SOURCES} ${settings})
    set_target_properties(${program} PROPERTIES LINKER_LANGUAGE CXX)
    target_link_libraries(${program} PRIVATE
      $<LINK_LIBRARY:WHOLE_ARCHIVE,nbdcheck::nbdcheck_fuzz> ${arg_LIBRARIES})
  endforeach()
  target_link_libraries(${name}_replay PRIVATE nbdcheck::nbdcheck_replay)
  if(engine)
    if(engine STREQUAL "-fsanitize=fuzzer")
      target_compile_options(${name} PRIVATE -fsanitize=fuzzer-no-link)
    endif()
    target_link_options(${name} PRIVATE ${engine})
  endif()

  if(NOT arg_CORPUS)
    set(arg_CORPUS ${NBDCHECK_SEEDS})
  endif()
  if(arg_CORPUS)
    get_filename_component(arg_CORPUS ${arg_CORPUS} ABSOLUTE)
    add_test(NAME ${name}.corpus COMMAND ${name}_replay --isolate ${arg_CORPUS})
    set_tests_properties(${name}.corpus PROPERTIES TIMEOUT 300
      LABELS "nbdcheck;fuzz;${arg_LABELS}")
  endif()
endfunction()
