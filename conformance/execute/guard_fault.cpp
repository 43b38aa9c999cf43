#include "execute/guard_fault.hpp"

#include <fmt/format.h>

namespace nbdcheck {

std::string_view guard_rule(const GuardFault& fault) {
  if (fault.buffer == 0) return "data.buffer-kept";
  const std::uint64_t at = fault.address;
  if (at >= fault.buffer && at < fault.buffer + fault.buffer_size)
    return fault.callback == Callback::pwrite ? "data.buffer-modified" : "data.buffer-kept";
  // The guards on either side are a page wide; what lies further away was the
  // buffer of another request.
  constexpr std::uint64_t page = 4096;
  const std::uint64_t first = fault.buffer / page * page;
  const std::uint64_t last = (fault.buffer + fault.buffer_size + page - 1) / page * page;
  if (at + page >= first && at < last + page) return "data.buffer-overrun";
  return "data.buffer-kept";
}

std::string guard_message(std::string_view rule, const GuardFault& fault, std::string_view where) {
  if (rule == "data.buffer-modified")
    return fmt::format("The plugin wrote to the buffer it was given to read from, {}.", where);
  if (rule == "data.buffer-overrun")
    return fmt::format(
        "The plugin touched memory {} the buffer of {} bytes it was given, {} (address {:#x}, "
        "buffer at {:#x}).",
        fault.address < fault.buffer ? "before" : "behind", fault.buffer_size, where, fault.address,
        fault.buffer);
  return fmt::format(
      "The plugin touched the buffer of a request that had already been answered, {}.", where);
}

}  // namespace nbdcheck
