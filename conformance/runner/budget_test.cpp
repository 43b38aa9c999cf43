#include "runner/budget.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

namespace nbdcheck {
namespace {

Check weighing(std::string_view id, double weight) {
  Check check;
  check.id = id;
  check.weight = weight;
  return check;
}

struct Totals {
  double seconds = 0;
  std::uint64_t operations = 0;
  std::map<std::string_view, double> seconds_of;
  std::map<std::string_view, std::set<unsigned>> rounds_of;
};

class Budget : public ::testing::Test {
 protected:
  Totals share(Effort effort, double total = 0, unsigned jobs = 1) {
    shares = share_out(checks, subject, effort, total, jobs);
    Totals totals;
    for (const Share& share : shares) {
      EXPECT_GT(share.seconds, 0);
      totals.rounds_of[share.check->id].insert(share.round);
      if (share.check->weight == 0) {
        EXPECT_EQ(share.operations, 0U);
        continue;
      }
      totals.seconds += share.seconds;
      totals.operations += share.operations;
      totals.seconds_of[share.check->id] += share.seconds;
    }
    return totals;
  }

  Check large = weighing("large", 3);
  Check small = weighing("small", 1);
  Check fixed = weighing("fixed", 0);
  std::vector<const Check*> checks{&fixed, &large, &small};
  Subject subject;
  std::vector<Share> shares;
};

TEST_F(Budget, TheLongestRunIsLongerThanTheTimeGiven) {
  for (const Effort effort : {Effort::quick, Effort::standard, Effort::thorough}) {
    const Totals totals = share(effort);
    EXPECT_GT(longest(large, checks, effort), 60 + 3 * totals.seconds_of.at("large"));
    EXPECT_GT(longest(large, checks, effort), longest(small, checks, effort));
  }
}

TEST_F(Budget, TheGivenTimeIsSharedByWeight) {
  const Totals totals = share(Effort::standard, 40);
  EXPECT_NEAR(totals.seconds, 40, 1e-6);
  EXPECT_NEAR(totals.seconds_of.at("large"), 30, 1e-6);
  EXPECT_NEAR(totals.seconds_of.at("small"), 10, 1e-6);
  EXPECT_NEAR(share(Effort::standard, 40, 4).seconds, 160, 1e-6) << "children run side by side";
}

TEST_F(Budget, MoreEffortMeansMore) {
  const Totals quick = share(Effort::quick);
  const Totals standard = share(Effort::standard);
  const Totals thorough = share(Effort::thorough);
  EXPECT_LT(quick.seconds, standard.seconds);
  EXPECT_LT(standard.seconds, thorough.seconds);
  EXPECT_LT(quick.operations, standard.operations);
  EXPECT_LT(standard.operations, thorough.operations);
}

TEST_F(Budget, LongChecksRunInRoundsOfABoundedHistory) {
  const Totals totals = share(Effort::thorough);
  for (const Share& share : shares) EXPECT_LE(share.operations, 400'000U);
  for (const auto& [id, rounds] : totals.rounds_of) {
    EXPECT_EQ(*rounds.begin(), 0U) << id;
    EXPECT_EQ(*rounds.rbegin(), rounds.size() - 1) << id << ": numbered without a gap";
  }
  EXPECT_EQ(totals.rounds_of.at("fixed").size(), 1U);
  EXPECT_GT(totals.rounds_of.at("large").size(), totals.rounds_of.at("small").size());
}

TEST_F(Budget, LongOnesComeFirst) {
  share(Effort::standard);
  EXPECT_TRUE(std::is_sorted(shares.begin(), shares.end(),
                             [](const Share& a, const Share& b) { return a.seconds > b.seconds; }));
}

TEST_F(Budget, ASlowPluginGetsMoreTimeUnlessTheUserSaidHowMuch) {
  const double fast = share(Effort::standard).seconds;
  subject.nanoseconds_per_read = 20'000'000;
  EXPECT_GT(share(Effort::standard).seconds, fast);
  EXPECT_NEAR(share(Effort::standard, 5).seconds, 5, 1e-6);
}

TEST_F(Budget, NothingToShareAmong) {
  checks = {};
  share(Effort::standard);
  EXPECT_TRUE(shares.empty());
  checks = {&fixed};
  share(Effort::standard, 100);
  ASSERT_EQ(shares.size(), 1U);
  EXPECT_LT(shares[0].seconds, 100);
}

}  // namespace
}  // namespace nbdcheck
