#include "runner/kept_rules.hpp"

#include <gtest/gtest.h>

namespace nbdcheck {
namespace {

using Rules = std::set<std::string>;

Check check(std::string_view id, std::vector<std::string_view> rules) {
  Check check;
  check.id = id;
  check.rules = std::move(rules);
  return check;
}

const std::vector<Check> checks{check("a", {"data.one", "data.both"}),
                                check("b", {"data.two", "data.both"})};
constexpr std::string_view everywhere[] = {"process.crash"};

CheckResult result(std::string id, Status status) {
  CheckResult result;
  result.id = std::move(id);
  result.status = status;
  return result;
}

Rules kept(Status a, std::optional<Status> b) {
  std::vector<CheckResult> results{result("a", a)};
  if (b) results.push_back(result("b", *b));
  return kept_rules(checks, results, everywhere);
}

TEST(KeptRules, WhenAllTheirChecksPassed) {
  EXPECT_EQ(kept(Status::passed, Status::passed),
            (Rules{"data.both", "data.one", "data.two", "process.crash"}));
  EXPECT_EQ(kept(Status::passed, Status::skipped),
            (Rules{"data.both", "data.one", "process.crash"}));
}

TEST(KeptRules, NotWhenAnythingIsInDoubt) {
  for (const Status status : {Status::failed, Status::crashed, Status::hung, Status::unknown})
    EXPECT_EQ(kept(Status::passed, status), Rules{"data.one"}) << name(status);
  EXPECT_EQ(kept(Status::passed, std::nullopt), Rules{"data.one"}) << "not selected";
  EXPECT_EQ(kept(Status::skipped, Status::skipped), Rules{});
}

}  // namespace
}  // namespace nbdcheck
