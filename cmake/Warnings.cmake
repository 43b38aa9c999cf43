# nbdcheck_warnings(target): the warnings all our code is built with.
function(nbdcheck_warnings target)
  set(common -Wall -Wextra -Wshadow -Wconversion -Wformat=2 -Wundef)
  target_compile_options(${target} PRIVATE
    ${common}
    $<$<COMPILE_LANGUAGE:CXX>:-Wnon-virtual-dtor -Woverloaded-virtual>
    $<$<BOOL:${NBDCHECK_WERROR}>:-Werror>)
endfunction()
