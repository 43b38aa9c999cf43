#include "sandbox/describe.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "nbdcheck/abi.hpp"
#include "nbdcheck/types.hpp"

namespace nbdcheck::sandbox {
namespace {

std::string flag_names(std::uint32_t flags) {
  constexpr std::array<std::pair<std::uint32_t, const char*>, 4> names{{
      {plugin_flag::may_trim, "MAY_TRIM"},
      {plugin_flag::fua, "FUA"},
      {plugin_flag::req_one, "REQ_ONE"},
      {plugin_flag::fast_zero, "FAST_ZERO"},
  }};
  std::string text;
  for (const auto& [bit, name] : names) {
    if ((flags & bit) == 0) continue;
    if (!text.empty()) text += '|';
    text += name;
    flags &= ~bit;
  }
  if (flags != 0) text += fmt::format("{}{:#x}", text.empty() ? "" : "|", flags);
  return text.empty() ? "0" : text;
}

}  // namespace

std::string describe_call(const CallSlot& slot) {
  if (!slot.in_callback()) return {};
  const auto callback = static_cast<Callback>(slot.callback.load());
  switch (callback) {
    case Callback::plugin_init:
      return "plugin_init()";
    case Callback::pread:
    case Callback::pwrite:
    case Callback::trim:
    case Callback::zero:
    case Callback::extents:
    case Callback::cache:
      return fmt::format(".{}(count={}, offset={}, flags={})", name(callback), slot.count,
                         slot.offset, flag_names(slot.flags));
    case Callback::flush:
      return fmt::format(".flush(flags={})", flag_names(slot.flags));
    default:
      return fmt::format(".{}()", name(callback));
  }
}

const CallSlot* slot_of(const StatusPage& page, int thread_id) {
  const auto* slot =
      std::find_if(std::begin(page.slots), std::end(page.slots),
                   [thread_id](const CallSlot& one) { return one.thread_id.load() == thread_id; });
  return thread_id == 0 || slot == std::end(page.slots) ? nullptr : slot;
}

const CallSlot* culprit_slot(const StatusPage& page) {
  if (const CallSlot* slot = slot_of(page, page.crash_thread.load()); slot != nullptr) return slot;
  const auto* slot =
      std::ranges::find_if(page.slots, [](const CallSlot& one) { return one.in_callback(); });
  return slot == std::end(page.slots) ? nullptr : slot;
}

std::string phase_of(const StatusPage& page) {
  std::string text;
  for (const char& letter : page.phase) {
    const char now = reinterpret_cast<const volatile char&>(letter);
    if (now == '\0') break;
    text += now;
  }
  return text;
}

}  // namespace nbdcheck::sandbox
