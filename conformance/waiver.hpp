// A finding that the maintainer of a plugin has decided to live with, for the
// time being: it is shown and counted, but does not decide the verdict.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace nbdcheck {

struct Waiver {
  std::string rule;
  std::string plugin;  // name, or glob for its file
  std::string reason;
  std::string until;  // last day, "2026-12-31"; empty: for good
  std::string where;  // "waivers.toml:3"
};

enum class WaiverState : std::uint8_t {
  used,         // there was such a finding
  unneeded,     // the rule was checked, and it is kept
  expired,      // its last day is over: it waives nothing
  not_checked,  // neither found nor known to be kept
};
std::string_view name(WaiverState state);

// What became of a waiver for the plugin under test.
struct WaiverOutcome {
  Waiver waiver;
  WaiverState state = WaiverState::not_checked;
};

}  // namespace nbdcheck
