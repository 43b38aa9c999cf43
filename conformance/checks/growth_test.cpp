#include "checks/growth.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace nbdcheck {
namespace {

using Samples = std::vector<std::uint64_t>;

TEST(Growth, OneForEachRepetition) {
  EXPECT_EQ(steady_growth(Samples{50, 60, 70, 80, 90}, 10), 1.0);
}

TEST(Growth, OneForEveryFourth) { EXPECT_EQ(steady_growth(Samples{10, 13, 15, 18, 20}, 10), 0.25); }

TEST(Growth, StandingStill) {
  EXPECT_FALSE(steady_growth(Samples{50, 50, 50, 50, 50}, 10));
  EXPECT_FALSE(steady_growth(Samples{0, 0, 0, 0}, 10));
}

TEST(Growth, ACacheThatFillsUp) {
  EXPECT_FALSE(steady_growth(Samples{0, 10, 20, 30, 32, 32}, 10));
  EXPECT_FALSE(steady_growth(Samples{0, 10, 20, 30, 34}, 10));
}

TEST(Growth, ABufferThatDoubles) {
  EXPECT_FALSE(steady_growth(Samples{16, 32, 64, 128, 256, 512}, 10));
  EXPECT_FALSE(steady_growth(Samples{100, 100, 200, 200, 200, 200, 400}, 10));
}

TEST(Growth, ACollectorThatComesLater) {
  EXPECT_FALSE(steady_growth(Samples{0, 10, 20, 30, 5, 15}, 10));
}

TEST(Growth, TooFewSamplesToTell) {
  EXPECT_FALSE(steady_growth(Samples{0, 10, 20}, 10));
  EXPECT_FALSE(steady_growth(Samples{}, 10));
  EXPECT_FALSE(steady_growth(Samples{0, 10, 20, 30}, 0));
}

}  // namespace
}  // namespace nbdcheck
