// A wild access into the arena of guarded buffers: told by where it hit.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "nbdcheck/types.hpp"

namespace nbdcheck {

struct GuardFault {
  std::uint64_t address = 0;
  // The buffer of the call in progress; 0: it has none.
  std::uint64_t buffer = 0;
  std::uint32_t buffer_size = 0;
  Callback callback = Callback::none;
};

std::string_view guard_rule(const GuardFault& fault);

// `where`: "in .pread(count=512, offset=0)".
std::string guard_message(std::string_view rule, const GuardFault& fault, std::string_view where);

}  // namespace nbdcheck
