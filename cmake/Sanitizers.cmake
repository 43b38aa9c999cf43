# NBDCHECK_SANITIZE applies to everything in the tree, plugins included, so
# that one runtime serves the command and what it loads.
if(NBDCHECK_SANITIZE)
  add_compile_definitions(NBDCHECK_SANITIZED)
  add_compile_options(-fsanitize=${NBDCHECK_SANITIZE} -fno-omit-frame-pointer
                      -fno-sanitize-recover=undefined)
  add_link_options(-fsanitize=${NBDCHECK_SANITIZE})
endif()

# nbdcheck_uses_regex(FILE...): g++ 12 warns of uninitialised memory inside
# std::regex when a sanitizer is on, and only then; in these files it may.
function(nbdcheck_uses_regex)
  if(NBDCHECK_SANITIZE AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    set_source_files_properties(${ARGN} PROPERTIES COMPILE_OPTIONS -Wno-maybe-uninitialized)
  endif()
endfunction()
