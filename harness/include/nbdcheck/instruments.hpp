// Instruments that look at memory and locks while a plugin runs: sanitizers that
// it was built with, and valgrind.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "nbdcheck/plugin.hpp"

namespace nbdcheck {

enum class Sanitizer : std::uint8_t { address, thread, leak, undefined, memory, hwaddress };
std::string_view name(Sanitizer sanitizer);  // "AddressSanitizer"

// The sanitizer whose runtime a plugin needs, told from the libraries and symbols
// its ELF headers name.  gcc links the runtime to a plugin, clang leaves it to the
// program.  Of several the one that the others come with: address brings leak, and
// both of them, and thread, go with undefined.
std::optional<Sanitizer> sanitizer_of(const ElfFacts& facts);

// Whether a sanitizer's runtime is in this process, or valgrind runs it.
bool under_sanitizer();
bool under_valgrind();

// From now on children are started by this command line, to which their own is
// appended: valgrind's.  Limits on their time grow.  Call before the first child.
void run_children_under(std::vector<std::string> command);
const std::vector<std::string>& children_run_under();

// Looks for memory that nothing refers to any more; what is found is printed to
// standard error.  Nothing happens where no instrument can tell.
void look_for_leaks();

}  // namespace nbdcheck
