# How our code is compiled.
#
# nbdcheck_warnings(target): with the warnings all of it is built with.
# nbdcheck_library_settings(target): a library, which has fmt.
# nbdcheck_test_settings(target): a program of GoogleTest tests.
#
# The latter two share precompiled headers: parsing the standard library was more
# than half of the time a build took.  Files include what they use all the same;
# clang, which builds without them, would tell.  Tests are not optimised: that
# takes longer than running them.

set(NBDCHECK_WARNINGS -Wall -Wextra -Wshadow -Wconversion -Wformat=2 -Wundef)
set(NBDCHECK_CXX_WARNINGS -Wnon-virtual-dtor -Woverloaded-virtual)
set(NBDCHECK_TEST_OPTIONS -O0)

function(nbdcheck_warnings target)
  target_compile_options(${target} PRIVATE
    ${NBDCHECK_WARNINGS}
    "$<$<COMPILE_LANGUAGE:CXX>:${NBDCHECK_CXX_WARNINGS}>"
    $<$<BOOL:${NBDCHECK_WERROR}>:-Werror>)
endfunction()

set(NBDCHECK_PRECOMPILED <algorithm> <array> <atomic> <chrono> <cstdint> <cstring> <filesystem>
  <fstream> <functional> <map> <memory> <mutex> <optional> <set> <span> <sstream> <string>
  <string_view> <thread> <utility> <variant> <vector> <fmt/format.h>)

function(nbdcheck_share_precompiled kind target)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    target_precompile_headers(${target} REUSE_FROM nbdcheck_precompiled_${kind})
    # The first is for ccache.  As for the others: where std::string comes from a
    # precompiled header, g++ 12 forgets that it is a system header, and believes
    # that operator+ overruns the buffer in it.
    target_compile_options(${target} PRIVATE
      -fpch-preprocess -Wno-array-bounds -Wno-stringop-overflow -Wno-stringop-overread
      -Wno-restrict)
  endif()
endfunction()

# Several files of a library in one compilation, in the presets that are built to
# be run.  The others, dev and clang, show that each file compiles by itself.
option(NBDCHECK_UNITY "Compile the files of a library in groups: quicker from scratch" OFF)

function(nbdcheck_group_files target)
  if(NBDCHECK_UNITY)
    set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 8)
    if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
      # It takes what one file of a group keeps to itself for part of a header.
      target_compile_options(${target} PRIVATE -Wno-subobject-linkage)
    endif()
  endif()
endfunction()

# To optimise it takes longer than it runs: what reads options and writes reports, and
# what ThreadSanitizer slows anyway.
function(nbdcheck_seldom_runs)
  foreach(target ${ARGN})
    target_compile_options(${target} PRIVATE $<$<CONFIG:RelWithDebInfo>:-O1>)
  endforeach()
endfunction()

function(nbdcheck_library_settings target)
  nbdcheck_warnings(${target})
  nbdcheck_group_files(${target})
  target_link_libraries(${target} PRIVATE fmt::fmt)
  nbdcheck_share_precompiled(library ${target})
endfunction()

function(nbdcheck_test_settings target)
  nbdcheck_warnings(${target})
  target_link_libraries(${target} PRIVATE fmt::fmt GTest::gtest_main)
  target_compile_options(${target} PRIVATE ${NBDCHECK_TEST_OPTIONS})
  nbdcheck_share_precompiled(test ${target})
endfunction()

# Once the packages are found: what the functions above share.
function(nbdcheck_make_precompiled)
  if(NOT CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    return()
  endif()
  set(empty ${PROJECT_BINARY_DIR}/precompiled)
  file(CONFIGURE OUTPUT ${empty}/library.cpp CONTENT "")
  add_library(nbdcheck_precompiled_library OBJECT ${empty}/library.cpp)
  target_precompile_headers(nbdcheck_precompiled_library PRIVATE ${NBDCHECK_PRECOMPILED})
  target_link_libraries(nbdcheck_precompiled_library PRIVATE fmt::fmt)
  if(BUILD_TESTING)
    file(CONFIGURE OUTPUT ${empty}/test.cpp CONTENT "int main() {}\n")
    add_executable(nbdcheck_precompiled_test ${empty}/test.cpp)
    target_precompile_headers(nbdcheck_precompiled_test PRIVATE
      ${NBDCHECK_PRECOMPILED} <gtest/gtest.h>)
    target_link_libraries(nbdcheck_precompiled_test PRIVATE fmt::fmt GTest::gtest_main)
    target_compile_options(nbdcheck_precompiled_test PRIVATE ${NBDCHECK_TEST_OPTIONS})
  endif()
endfunction()
