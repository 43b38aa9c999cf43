// Whether a pointer that a callback returned is still good: what dangles shows
// in a busy server, and should show in an idle one, too.
#pragma once

#include <string>
#include <string_view>

namespace nbdcheck {

// In all of the memory that read_late() reaches.
inline constexpr std::string_view freed_memory_mark = "!freed-memory!";

// The string, when the small blocks that free(3) has just put aside have been
// taken and written to by somebody else.
std::string read_late(const char* text);

// Whether `address` lies in the frame of a function that has returned: below
// `frame`, that of its caller, on a stack that grows downwards.
bool in_ended_frame(const void* address, const void* frame);

}  // namespace nbdcheck
