// Whether a path names a file that can be read at all, with a message that says
// what is wrong with it.
#pragma once

#include <optional>
#include <string>

#include "nbdcheck/plugin.hpp"

namespace nbdcheck {

// nullopt: a regular file we may read.
std::optional<LoadFailure> check_readable_file(const std::string& path);

}  // namespace nbdcheck
