# nbdcheck_install_library(TARGET...): part of the installed package, there called
# nbdcheck::TARGET, or nbdcheck::NAME for nbdcheck_NAME where one of them is meant
# to be linked by people.
function(nbdcheck_install_library)
  install(TARGETS ${ARGN} EXPORT nbdcheckTargets
    ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}/nbdcheck)
endfunction()
