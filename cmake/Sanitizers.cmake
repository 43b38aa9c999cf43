# NBDCHECK_SANITIZE applies to everything in the tree, plugins included, so
# that one runtime serves the command and what it loads.
if(NBDCHECK_SANITIZE)
  add_compile_definitions(NBDCHECK_SANITIZED)
  add_compile_options(-fsanitize=${NBDCHECK_SANITIZE} -fno-omit-frame-pointer
                      -fno-sanitize-recover=undefined)
  add_link_options(-fsanitize=${NBDCHECK_SANITIZE})
endif()
