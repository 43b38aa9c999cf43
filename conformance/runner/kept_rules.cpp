#include "runner/kept_rules.hpp"

#include <algorithm>
#include <map>

namespace nbdcheck {
namespace {

// What several checks say together; a check that did not run says nothing good.
struct Tally {
  bool passed = false;
  bool doubtful = false;

  void add(const Status* status) {
    passed |= status != nullptr && *status == Status::passed;
    doubtful |= status == nullptr || (*status != Status::passed && *status != Status::skipped);
  }
  [[nodiscard]] bool kept() const { return passed && !doubtful; }
};

}  // namespace

std::set<std::string> kept_rules(std::span<const Check> checks,
                                 std::span<const CheckResult> results,
                                 std::span<const std::string_view> everywhere) {
  std::map<std::string_view, Tally> rules;
  Tally all;
  for (const Check& check : checks) {
    const auto result = std::find_if(results.begin(), results.end(),
                                     [&](const CheckResult& r) { return r.id == check.id; });
    const Status* status = result == results.end() ? nullptr : &result->status;
    for (const std::string_view rule : check.rules) rules[rule].add(status);
    all.add(status);
  }
  for (const std::string_view rule : everywhere) rules[rule] = all;
  std::set<std::string> kept;
  for (const auto& [rule, tally] : rules)
    if (tally.kept()) kept.emplace(rule);
  return kept;
}

}  // namespace nbdcheck
