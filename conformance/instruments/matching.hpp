// The build of nbdcheck that a plugin needs: one with the runtime of the
// sanitizer that the plugin was built with lies beside the plain one.
#pragma once

#include <string>
#include <tl/expected.hpp>

namespace nbdcheck {

// The program to run instead of this one; "": this one will do.  The error is one
// line that says what is missing.  `own` is the path of this program.
tl::expected<std::string, std::string> matching_build(const std::string& plugin_file,
                                                      const std::string& own);

}  // namespace nbdcheck
