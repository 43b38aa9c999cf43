// `nbdcheck list` and `nbdcheck explain`.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <tl/expected.hpp>

#include "checks/check.hpp"
#include "cli/options.hpp"
#include "rules/catalogue.hpp"

namespace nbdcheck {

// Aligned text, or one JSON object {"nbdcheck", "rules": [...], "checks": [...]}.
std::string list_text(Options::Listing what, std::span<const Rule> rules,
                      std::span<const Check> checks);
// `longest` tells after how many seconds a run of one check has surely ended.
std::string list_json(Options::Listing what, std::span<const Rule> rules,
                      std::span<const Check> checks,
                      const std::function<double(const Check&)>& longest);

// The page of a rule for a terminal of `width` columns; an unknown id is a
// usage error that names the nearest.
tl::expected<std::string, CliExit> explain(std::string_view id, std::span<const Rule> rules,
                                           int width, bool colour);

}  // namespace nbdcheck
