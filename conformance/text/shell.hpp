#pragma once

#include <string>
#include <string_view>

namespace nbdcheck {

// `word` as one word of a shell command; unchanged when it needs no quotes.
std::string shell_quote(std::string_view word);

}  // namespace nbdcheck
