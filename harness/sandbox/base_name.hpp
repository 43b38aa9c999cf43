// The last part of a path, as text and nothing more: no file is asked.
#pragma once

#include <string_view>

namespace nbdcheck {

inline std::string_view base_name(std::string_view path) {
  return path.substr(path.rfind('/') + 1);
}

}  // namespace nbdcheck
