// Go collects when its heap has grown, or two minutes have gone by; a plugin that
// leaves little garbage is collected twice in a check.
#pragma once

namespace nbdcheck {

// Makes the two minutes a millisecond, where the program has the symbols for it.
// `code`: any function of the plugin.
void collect_every_millisecond(const void* code);

}  // namespace nbdcheck
