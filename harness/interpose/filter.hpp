// The seccomp filter: which system calls are handed to the supervisor.
#pragma once

#include <string>
#include <tl/expected.hpp>

namespace nbdcheck::interpose {

// Installs it for the calling thread and those it will start.  The value is
// the descriptor that notifications come from.
tl::expected<int, std::string> install_filter(bool reads);

}  // namespace nbdcheck::interpose
