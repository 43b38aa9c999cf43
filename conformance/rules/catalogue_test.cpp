#include "rules/catalogue.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace nbdcheck {
namespace {

TEST(Catalogue, IsSortedAndComplete) {
  const auto rules = all_rules();
  ASSERT_FALSE(rules.empty());
  EXPECT_EQ(std::adjacent_find(rules.begin(), rules.end(),
                               [](const Rule& a, const Rule& b) { return a.id >= b.id; }),
            rules.end());
  for (const Rule& rule : rules) {
    EXPECT_NE(rule.text.find("\n## How to fix it\n"), std::string_view::npos) << rule.id;
    EXPECT_FALSE(rule.title.empty() || rule.source.empty() || rule.since.empty()) << rule.id;
  }
}

TEST(Catalogue, FindsEveryRuleAndNoOther) {
  for (const Rule& rule : all_rules()) EXPECT_EQ(find_rule(rule.id), &rule);
  EXPECT_EQ(find_rule(""), nullptr);
  EXPECT_EQ(find_rule("data.read-your-write"), nullptr);
  EXPECT_EQ(find_rule("zzz"), nullptr);
}

TEST(Catalogue, KeepsWhatThePageSays) {
  const Rule* rule = find_rule("data.read-your-writes");
  ASSERT_NE(rule, nullptr);
  EXPECT_EQ(rule->severity, Severity::must);
  EXPECT_EQ(rule->title, "A read returns what was last written");
  EXPECT_EQ(rule->source, "nbdkit-plugin(3) \".pread\", \".pwrite\"");
  EXPECT_EQ(rule->contract, "P-112");
}

}  // namespace
}  // namespace nbdcheck
