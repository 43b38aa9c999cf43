// The parts of nbdsh scripts that are the same in each: the files of nbdsh/.
#pragma once

#include <string_view>

namespace nbdcheck {

extern const std::string_view nbdsh_server;
extern const std::string_view nbdsh_disk;
extern const std::string_view nbdsh_checks;
extern const std::string_view nbdsh_main;

}  // namespace nbdcheck
