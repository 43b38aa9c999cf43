#pragma once

#include <string>

namespace nbdcheck {

// Whether nbdkit would accept it after -D.
bool valid_debug_flag(const std::string& text);

}  // namespace nbdcheck
