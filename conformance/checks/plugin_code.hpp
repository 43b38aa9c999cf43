// Where the plugin's machine code is.
#pragma once

#include "nbdcheck/code.hpp"
#include "nbdcheck/server.hpp"

namespace nbdcheck {

// That of the file with .get_size, which every plugin has.
inline Code code_of(const Server& server) {
  return Code::of_plugin(reinterpret_cast<const void*>(server.plugin().callbacks().get_size));
}

}  // namespace nbdcheck
