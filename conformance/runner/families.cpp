#include "runner/families.hpp"

#include <algorithm>
#include <array>
#include <set>
#include <string_view>

#include "checks/check.hpp"

namespace nbdcheck {

bool is_about_contents(const std::string& rule) {
  static const std::set<std::string, std::less<>> contents = {
      "data.read-your-writes", "data.nothing-outside", "zero.reads-zero",
      "zero.nothing-outside",  "trim.nothing-outside", "cache.harmless",
      "flush.harmless",        "handle.persistence",   "handle.independent",
      "handle.multi-conn",     "concurrency.regular",  "concurrency.convergence",
      "concurrency.multi-conn"};
  return contents.contains(rule);
}

bool same_family(const std::string& a, const std::string& b) {
  return a == b || (is_about_contents(a) && is_about_contents(b));
}

bool is_what_was_read(const std::string& rule) {
  return is_about_contents(rule) || rule == "data.stable-contents";
}

bool still_shows(const std::string& seen, const std::string& wanted) {
  // Contents that change without any of the requests that were blamed.
  return seen == wanted || (is_about_contents(wanted) && is_what_was_read(seen));
}

bool is_about_requests_at_once(const std::string& rule) {
  return rule.starts_with("concurrency.") && rule != "concurrency.lock-order";
}

bool shows_at_once_too(const Finding& finding) {
  if (finding.severity != Severity::must) return false;
  return std::ranges::any_of(
      std::array<std::string_view, 7>{"data.", "zero.", "trim.", "cache.", "flush.", "fua.",
                                      "handle."},
      [&](std::string_view group) { return finding.rule.starts_with(group); });
}

bool stands_alone(const Finding& finding) {
  const Check* check = find_check(finding.check);
  return check != nullptr && check->stands_alone;
}

bool is_plain(const Finding& finding) {
  return finding.plan && !concurrent(finding.plan->operations) &&
         std::all_of(finding.plan->operations.begin(), finding.plan->operations.end(),
                     [](const Operation& op) {
                       return op.connection == 0 && op.flags == 0 &&
                              (op.kind == OpKind::open || op.kind == OpKind::read ||
                               op.kind == OpKind::write);
                     });
}

ShrinkLimits shrink_limits(Effort effort, const Subject& subject) {
  ShrinkLimits limits;
  switch (effort) {
    case Effort::quick:
      limits.time = std::chrono::seconds(8);
      break;
    case Effort::standard:
      limits.time = std::chrono::seconds(20);
      break;
    case Effort::thorough:
      limits.time = std::chrono::seconds(60);
      limits.tries = 1500;
      break;
  }
  if (subject.nanoseconds_per_read > 1'000'000) limits.time *= 2;
  return limits;
}

}  // namespace nbdcheck
