#pragma once

#include <string>

namespace nbdcheck {

// Hex SHA-256 of a file; "" when it cannot be read.
std::string sha256_of_file(const std::string& path);

}  // namespace nbdcheck
