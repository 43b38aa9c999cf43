// What the terminal we write to is like.
#pragma once

#include "cli/options.hpp"

namespace nbdcheck {

int terminal_width();  // columns of stdout; 100 when it is no terminal
// --color, and for `auto`: stdout is a terminal, NO_COLOR is unset or empty,
// TERM is not "dumb".
bool wants_colour(Options::Color color);
bool is_interactive();  // a progress line makes sense

}  // namespace nbdcheck
