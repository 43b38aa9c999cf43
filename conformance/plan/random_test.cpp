#include "plan/random.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <set>

namespace nbdcheck {
namespace {

TEST(Random, IsTheStandardMersenneTwister) {
  // [rand.predef]: the 10000th number of a default-constructed mt19937_64.
  Random random(5489);
  for (int i = 1; i < 10000; ++i) random.next();
  EXPECT_EQ(random.next(), 9981545732273789042ULL);
}

TEST(Random, DrawsStayWithinBounds) {
  Random random(1);
  for (const std::uint64_t bound : {1ULL, 2ULL, 3ULL, 1000ULL, 1ULL << 40, ~0ULL >> 1}) {
    for (int i = 0; i < 2000; ++i) {
      ASSERT_LT(random.below(bound), bound);
      const std::uint64_t low = random.below(bound);
      const std::uint64_t number = random.between(low, bound);
      ASSERT_TRUE(low <= number && number <= bound);
      const std::uint64_t log = random.logarithmic(low, bound);
      ASSERT_TRUE(low <= log && log <= bound) << low << " " << log << " " << bound;
    }
  }
  EXPECT_EQ(random.below(1), 0U);
  EXPECT_EQ(random.between(7, 7), 7U);
  EXPECT_EQ(random.logarithmic(7, 7), 7U);
  EXPECT_EQ(random.logarithmic(9, 7), 9U);
}

TEST(Random, TheWholeRangeIsARange) {
  Random random(1);
  std::uint64_t all = 0;
  for (int i = 0; i < 200; ++i) all |= random.between(0, UINT64_MAX);
  EXPECT_EQ(all, UINT64_MAX);
}

TEST(Random, EveryValueComesUp) {
  Random random(1);
  std::array<int, 10> seen{};
  for (int i = 0; i < 10'000; ++i) ++seen.at(random.below(10));
  for (const int times : seen) EXPECT_NEAR(times, 1000, 200);
  int hits = 0;
  for (int i = 0; i < 10'000; ++i) hits += random.percent(30) ? 1 : 0;
  EXPECT_NEAR(hits, 3000, 300);
  EXPECT_FALSE(random.percent(0));
  EXPECT_TRUE(random.percent(100));
}

TEST(Random, LogarithmicGivesEveryMagnitudeItsShare) {
  Random random(1);
  std::array<int, 21> seen{};
  for (int i = 0; i < 21'000; ++i) {
    std::uint64_t n = random.logarithmic(1, (1U << 20) + 1);
    std::size_t bits = 0;
    while (n >>= 1U) ++bits;
    ++seen.at(bits);
  }
  for (const int times : seen) EXPECT_NEAR(times, 1000, 200);
}

TEST(Random, ASeedMeansTheSameEverywhere) {
  EXPECT_EQ(derive_seed(0, ""), derive_seed(0, ""));
  std::set<std::uint64_t> seeds;
  for (std::uint64_t seed = 0; seed < 100; ++seed)
    for (const char* part : {"", "a", "b", "ab", "ba", "data.random", "data.random#1"})
      EXPECT_TRUE(seeds.insert(derive_seed(seed, part)).second) << seed << part;
  EXPECT_EQ(derive_seed(1, "data.random"), 7958420567868614060ULL) << "golden";
  Random random(derive_seed(1, "x"));
  EXPECT_EQ(random.below(1'000'000), 854826U) << "golden";
}

}  // namespace
}  // namespace nbdcheck
