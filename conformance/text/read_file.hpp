// A file that the user named, to be read whole.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <tl/expected.hpp>

namespace nbdcheck {

// The error is one line that begins with the path; `what` says what the file
// should have been: "a plan".
tl::expected<std::string, std::string> read_whole_file(const std::string& path,
                                                       std::string_view what, std::size_t largest);

}  // namespace nbdcheck
