// No rule without a page, no page without somebody who judges by it.
#include "rules/catalogue.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>

#include "checks/check.hpp"
#include "execute/incidents.hpp"
#include "runner/process_rules.hpp"

namespace nbdcheck {
namespace {

// What the checks and the runner say they judge.
std::set<std::string> claimed_rules() {
  std::set<std::string> rules(runner_rules().begin(), runner_rules().end());
  for (const Check& check : all_checks()) rules.insert(check.rules.begin(), check.rules.end());
  return rules;
}

std::set<std::string> incident_rules() {
  std::set<std::string> rules;
  for (int kind = 0; kind < static_cast<int>(IncidentKind::count_); ++kind)
    for (int callback = 0; callback < static_cast<int>(Callback::count_); ++callback)
      rules.emplace(rule_of(static_cast<IncidentKind>(kind), static_cast<Callback>(callback)));
  rules.erase("");
  return rules;
}

TEST(Rules, EachThatIsNamedHasAPage) {
  for (const auto& rule : claimed_rules()) EXPECT_NE(find_rule(rule), nullptr) << rule;
  for (const auto& rule : incident_rules()) EXPECT_NE(find_rule(rule), nullptr) << rule;
}

TEST(Rules, EachPageIsJudgedBySomeone) {
  const auto claimed = claimed_rules();
  for (const Rule& rule : all_rules())
    EXPECT_TRUE(claimed.contains(std::string(rule.id))) << rule.id;
}

TEST(Checks, SayWhatTheyAreAndWhatTheyJudge) {
  ASSERT_FALSE(all_checks().empty());
  for (const Check& check : all_checks()) {
    EXPECT_EQ(find_check(check.id), &check) << check.id;
    EXPECT_FALSE(check.summary.empty() || check.rules.empty()) << check.id;
    EXPECT_TRUE(check.run) << check.id;
    EXPECT_NE(check.id.find('.'), std::string_view::npos) << check.id;
  }
  const auto checks = all_checks();
  EXPECT_TRUE(std::is_sorted(checks.begin(), checks.end(),
                             [](const Check& a, const Check& b) { return a.id < b.id; }));
}

}  // namespace
}  // namespace nbdcheck
