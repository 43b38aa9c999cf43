#include "command/interruption.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>

namespace nbdcheck {
namespace {

TEST(Interruption, EndsQuietlyWhenNothingCame) {
  bool cleaned = false;
  {
    const Interruption interruption([&] { cleaned = true; });
  }
  EXPECT_FALSE(cleaned);
}

// Forks and starts threads: "threadsafe" runs the scene in a fresh process.
class InterruptionDeathTest : public ::testing::TestWithParam<int> {
 protected:
  void SetUp() override { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

TEST_P(InterruptionDeathTest, CleansUpAndDiesOfTheSignal) {
  EXPECT_EXIT(
      {
        const Interruption interruption([] { std::fputs("cleaned up\n", stderr); });
        ::kill(::getpid(), GetParam());
        for (;;) ::pause();
      },
      ::testing::KilledBySignal(GetParam()), "cleaned up");
}

INSTANTIATE_TEST_SUITE_P(Signals, InterruptionDeathTest,
                         ::testing::Values(SIGINT, SIGTERM, SIGHUP));

}  // namespace
}  // namespace nbdcheck
