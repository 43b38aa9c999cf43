#include "execute/guard_fault.hpp"

#include <fmt/format.h>

namespace nbdcheck {

std::string_view guard_rule(const GuardFault& fault) {
  const std::uint64_t at = fault.address;
  const bool inside = at >= fault.buffer && at < fault.buffer + fault.buffer_size;
  if (inside && fault.callback == Callback::pwrite) return "data.buffer-modified";
  // The guards on either side are a page wide; what lies further away was the
  // buffer of another request, and so was any when no request is running.
  constexpr std::uint64_t page = 4096;
  const std::uint64_t first = fault.buffer / page * page;
  const std::uint64_t last = (fault.buffer + fault.buffer_size + page - 1) / page * page;
  const bool beside = fault.buffer != 0 && at + page >= first && at < last + page;
  return beside && !inside ? "data.buffer-overrun" : "data.buffer-kept";
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
