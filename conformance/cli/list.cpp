#include "cli/list.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "nbdcheck/time_scale.hpp"

namespace nbdcheck {
namespace {

bool shows_rules(Options::Listing what) { return what != Options::Listing::checks; }
bool shows_checks(Options::Listing what) { return what != Options::Listing::rules; }

}  // namespace

std::string list_text(Options::Listing what, std::span<const Rule> rules,
                      std::span<const Check> checks) {
  std::string text;
  std::size_t width = 0;
  if (shows_rules(what)) {
    for (const Rule& rule : rules) width = std::max(width, rule.id.size());
  }
  if (shows_checks(what)) {
    for (const Check& check : checks) width = std::max(width, check.id.size());
  }
  const bool headings = what == Options::Listing::all;
  if (shows_rules(what)) {
    if (headings)
      text += fmt::format("Rules ({}); 'nbdcheck explain RULE' tells more\n", rules.size());
    for (const Rule& rule : rules) {
      text += fmt::format("{}{:<{}}  {:<7}  {}\n", headings ? "  " : "", rule.id, width,
                          name(rule.severity), rule.title);
    }
  }
  if (headings) text += fmt::format("\nChecks ({})\n", checks.size());
  if (shows_checks(what)) {
    for (const Check& check : checks) {
      text += fmt::format("{}{:<{}}  {}\n", headings ? "  " : "", check.id, width, check.summary);
    }
  }
  return text;
}

std::string list_json(Options::Listing what, std::span<const Rule> rules,
                      std::span<const Check> checks,
                      const std::function<double(const Check&)>& longest) {
  nlohmann::ordered_json list = {{"nbdcheck", NBDCHECK_VERSION}};
  if (shows_rules(what)) {
    auto& array = list["rules"] = nlohmann::ordered_json::array();
    for (const Rule& rule : rules) {
      array.push_back({{"id", rule.id},
                       {"title", rule.title},
                       {"severity", name(rule.severity)},
                       {"since", rule.since},
                       {"source", rule.source},
                       {"text", rule.text}});
    }
  }
  if (shows_checks(what)) {
    // For whoever sets limits of his own, as nbdcheck_add_tests does.
    list["limits_times"] = {{"sanitizer", sanitizer_time_scale}, {"valgrind", valgrind_time_scale}};
    auto& array = list["checks"] = nlohmann::ordered_json::array();
    for (const Check& check : checks) {
      array.push_back({{"id", check.id},
                       {"summary", check.summary},
                       {"rules", check.rules},
                       {"seeded", check.seeded},
                       {"limit", static_cast<long>(std::ceil(longest(check)))}});
    }
  }
  return list.dump(2) + "\n";
}

}  // namespace nbdcheck
