// The files a plugin was given to keep its disk in: what the arguments name.
#pragma once

#include <string>
#include <vector>

#include "checks/check_run.hpp"

namespace nbdcheck {

// Directories and files, by their real paths; none when no argument names a
// file that exists.
std::vector<std::string> backing_roots(const CheckRun& run);

}  // namespace nbdcheck
