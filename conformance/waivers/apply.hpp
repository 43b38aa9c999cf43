// Which waivers speak of a plugin, which of them waives a finding, and what
// became of each.  Pure functions: the day is the caller's to say.
#pragma once

#include <chrono>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "finding.hpp"
#include "waiver.hpp"

namespace nbdcheck {

// "2026-12-31", in UTC: the same everywhere at the same time.
std::string day_of(std::chrono::system_clock::time_point time);

// The waivers whose `plugin` is one of `names`, or a glob that matches one:
// its registered name, its path, the name of its file.
std::vector<Waiver> waivers_for(std::span<const Waiver> waivers,
                                std::span<const std::string> names);

// The first waiver for `rule` that has not expired; nullptr: it counts.
const Waiver* waiver_of(std::string_view rule, std::span<const Waiver> waivers,
                        std::string_view today);

// `kept`: rules that were checked to the end and found kept.
std::vector<WaiverOutcome> outcomes(std::span<const Waiver> waivers,
                                    std::span<const Finding> findings,
                                    const std::set<std::string>& kept, std::string_view today);

}  // namespace nbdcheck
