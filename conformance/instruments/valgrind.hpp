// --valgrind: children under memcheck.
#pragma once

#include <string>
#include <tl/expected.hpp>
#include <vector>

namespace nbdcheck {

// The command line that children are started by; the error is one line.
tl::expected<std::vector<std::string>, std::string> valgrind_command();

}  // namespace nbdcheck
