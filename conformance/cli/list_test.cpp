#include "cli/list.hpp"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "text/nearest.hpp"

namespace nbdcheck {
namespace {

const Rule rules[] = {
    {"data.a", "The first", Severity::must, "1.0", "nbdkit-plugin(3) \".pread\"", "P-1",
     "One two three four five six seven eight.\n\n## In practice\nBad things:\n\n* a first item "
     "that is long\n  and goes on\n* a second\n\n```\n  code   stays\n```\n\n## How to fix it\n"
     "Thus.\n"},
    {"extents.first-at-offset", "The second", Severity::should, "1.12", "s", "P-2", "T\n"},
};

std::vector<Check> checks() {
  Check check;
  check.id = "data.random";
  check.summary = "Random sequences";
  check.rules = {"data.a"};
  check.seeded = true;
  return {check};
}

TEST(List, IsAligned) {
  EXPECT_EQ(list_text(Options::Listing::all, rules, checks()),
            "Rules (2); 'nbdcheck explain RULE' tells more\n"
            "  data.a                   MUST     The first\n"
            "  extents.first-at-offset  SHOULD   The second\n"
            "\n"
            "Checks (1)\n"
            "  data.random              Random sequences\n");
  EXPECT_EQ(list_text(Options::Listing::checks, rules, checks()),
            "data.random  Random sequences\n");
}

TEST(List, IsJson) {
  const auto longest = [](const Check&) { return 41.5; };
  const auto all = nlohmann::json::parse(list_json(Options::Listing::all, rules, checks(), longest));
  EXPECT_EQ(all["rules"][1]["id"], "extents.first-at-offset");
  EXPECT_EQ(all["rules"][0]["severity"], "MUST");
  EXPECT_EQ(all["rules"][1]["text"], "T\n");
  EXPECT_EQ(all["checks"][0]["rules"][0], "data.a");
  EXPECT_EQ(all["checks"][0]["limit"], 42);
  EXPECT_EQ(all["checks"][0]["seeded"], true);
  EXPECT_EQ(all["limits_times"], (nlohmann::json{{"sanitizer", 10}, {"valgrind", 30}}));
  const auto only = nlohmann::json::parse(list_json(Options::Listing::rules, rules, checks(), longest));
  EXPECT_FALSE(only.contains("checks"));
}

TEST(Explain, RendersThePage) {
  EXPECT_EQ(explain("data.a", rules, 40, false).value(),
            "MUST data.a\n"
            "The first\n"
            "\n"
            "Since nbdkit 1.0; source: nbdkit-plugin(3) \".pread\"\n"
            "\n"
            "  One two three four five six seven\n"
            "  eight.\n"
            "\n"
            "In practice\n"
            "  Bad things:\n"
            "\n"
            "  * a first item that is long and goes\n"
            "    on\n"
            "  * a second\n"
            "\n"
            "      code   stays\n"
            "\n"
            "How to fix it\n"
            "  Thus.\n");
  EXPECT_NE(explain("data.a", rules, 80, true).value().find("\x1b[1mIn practice\x1b[0m\n"),
            std::string::npos);
}

TEST(Explain, SuggestsTheNearest) {
  const auto error = [](std::string_view id) { return explain(id, rules, 80, false).error(); };
  EXPECT_EQ(error("data.b").text, "nbdcheck: unknown rule 'data.b'; did you mean data.a?\n");
  EXPECT_EQ(error("data.b").code, 2);
  EXPECT_TRUE(error("data.b").to_stderr);
  EXPECT_EQ(error("first-at-offset").text,
            "nbdcheck: unknown rule 'first-at-offset'; did you mean extents.first-at-offset?\n");
  EXPECT_EQ(error("quux\n").text,
            "nbdcheck: unknown rule 'quux\\n'; 'nbdcheck list --rules' names them all\n");
}

TEST(Nearest, KnowsItsLimits) {
  const std::string_view known[] = {"alpha", "beta"};
  EXPECT_EQ(nearest("alhpa", known), "alpha");
  EXPECT_EQ(nearest("zzzzz", known), "");
  EXPECT_EQ(nearest("", known), "");
  EXPECT_EQ(nearest(std::string(100000, 'a'), known), "");
}

}  // namespace
}  // namespace nbdcheck
