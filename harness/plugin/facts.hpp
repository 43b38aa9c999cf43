// PluginFacts out of a plugin struct.
#pragma once

#include <string>

#include "nbdcheck/abi.hpp"
#include "nbdcheck/plugin.hpp"

namespace nbdcheck {

// `declared_size` is _struct_size as the plugin filled it in; `callbacks` is
// our copy, zero beyond it.
PluginFacts describe(const PluginStruct& callbacks, std::uint64_t declared_size, std::string path);

}  // namespace nbdcheck
