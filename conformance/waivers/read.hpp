// Waiver files (--waivers=FILE): TOML, described in docs/formats.md.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <vector>

#include "rules/catalogue.hpp"
#include "waiver.hpp"

namespace nbdcheck {

// The error is one line, "FILE:LINE: what is wrong".
tl::expected<std::vector<Waiver>, std::string> parse_waivers(std::string_view text,
                                                             const std::string& file,
                                                             std::span<const Rule> rules);
tl::expected<std::vector<Waiver>, std::string> read_waivers(const std::string& path,
                                                            std::span<const Rule> rules);

}  // namespace nbdcheck
