// Which nbdkit first had an API function, so that a message about a plugin's
// symbols can say what it was built for.  Sources: nbdkit-plugin(3) "VERSION"
// notes, the per-function manual pages' "HISTORY".
#pragma once

#include <string_view>

namespace nbdcheck {

// "1.34"; empty for a function no nbdkit known to us has.
std::string_view nbdkit_version_with(std::string_view function);

}  // namespace nbdcheck
