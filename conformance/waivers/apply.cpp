#include "waivers/apply.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <fnmatch.h>

#include <algorithm>

namespace nbdcheck {
namespace {

bool expired(const Waiver& waiver, std::string_view today) {
  // Days written this way sort as they follow each other.
  return !waiver.until.empty() && waiver.until < today;
}

bool speaks_of(const Waiver& waiver, std::span<const std::string> names) {
  return std::any_of(names.begin(), names.end(), [&](const std::string& name) {
    return !name.empty() &&
           (waiver.plugin == name || ::fnmatch(waiver.plugin.c_str(), name.c_str(), 0) == 0);
  });
}

WaiverState state_of(const Waiver& waiver, std::span<const Finding> findings,
                     const std::set<std::string>& kept, std::string_view today) {
  if (expired(waiver, today)) return WaiverState::expired;
  if (std::any_of(findings.begin(), findings.end(),
                  [&](const Finding& finding) { return finding.rule == waiver.rule; }))
    return WaiverState::used;
  return kept.contains(waiver.rule) ? WaiverState::unneeded : WaiverState::not_checked;
}

}  // namespace

std::string day_of(std::chrono::system_clock::time_point time) {
  return fmt::format("{:%Y-%m-%d}", fmt::gmtime(time));
}

std::vector<Waiver> waivers_for(std::span<const Waiver> waivers,
                                std::span<const std::string> names) {
  std::vector<Waiver> found;
  for (const Waiver& waiver : waivers)
    if (speaks_of(waiver, names)) found.push_back(waiver);
  return found;
}

const Waiver* waiver_of(std::string_view rule, std::span<const Waiver> waivers,
                        std::string_view today) {
  const auto found = std::find_if(waivers.begin(), waivers.end(), [&](const Waiver& waiver) {
    return waiver.rule == rule && !expired(waiver, today);
  });
  return found == waivers.end() ? nullptr : &*found;
}

std::vector<WaiverOutcome> outcomes(std::span<const Waiver> waivers,
                                    std::span<const Finding> findings,
                                    const std::set<std::string>& kept, std::string_view today) {
  std::vector<WaiverOutcome> list;
  for (const Waiver& waiver : waivers)
    list.push_back({waiver, state_of(waiver, findings, kept, today)});
  return list;
}

}  // namespace nbdcheck
