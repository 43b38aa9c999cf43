// Rules that a run has shown to be kept, as far as it looked.
#pragma once

#include <set>
#include <span>
#include <string>
#include <string_view>

#include "checks/check.hpp"
#include "report/event.hpp"

namespace nbdcheck {

// Those whose every check applies not or has passed, and at least one has.
// `everywhere`: rules that any check can run into; they need all checks.
std::set<std::string> kept_rules(std::span<const Check> checks,
                                 std::span<const CheckResult> results,
                                 std::span<const std::string_view> everywhere);

}  // namespace nbdcheck
