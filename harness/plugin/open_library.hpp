// dlopen(3) of a plugin, with failures told apart and symbols named.
#pragma once

#include <string>
#include <tl/expected.hpp>

#include "nbdcheck/plugin.hpp"

namespace nbdcheck {

// The handle, which the caller gives to dlclose(3).
tl::expected<void*, LoadFailure> open_library(const std::string& path, const ElfFacts& elf);

}  // namespace nbdcheck
