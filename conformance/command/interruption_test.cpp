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
    Interruption interruption;
    interruption.watch([&] { cleaned = true; });
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
        Interruption interruption;
        interruption.watch([] { std::fputs("cleaned up\n", stderr); });
        ::kill(::getpid(), GetParam());
        for (;;) ::pause();
      },
      ::testing::KilledBySignal(GetParam()), "cleaned up");
}

TEST_P(InterruptionDeathTest, WaitsForWhatIsToBeCleanedUp) {
  EXPECT_EXIT(
      {
        Interruption interruption;
        ::kill(::getpid(), GetParam());
        std::fputs("made, ", stderr);
        interruption.watch([] { std::fputs("cleaned up\n", stderr); });
        for (;;) ::pause();
      },
      ::testing::KilledBySignal(GetParam()), "made, cleaned up");
}

TEST_P(InterruptionDeathTest, WhatIsIgnoredStaysSo) {
  EXPECT_EXIT(
      {
        (void)std::signal(GetParam(), SIG_IGN);
        {
          Interruption interruption;
          interruption.watch([] { std::fputs("cleaned up\n", stderr); });
          ::kill(::getpid(), GetParam());
        }
        std::fputs("the end\n", stderr);
        ::_exit(0);
      },
      ::testing::ExitedWithCode(0), "^the end");
}

INSTANTIATE_TEST_SUITE_P(Signals, InterruptionDeathTest,
                         ::testing::Values(SIGINT, SIGTERM, SIGHUP));

}  // namespace
}  // namespace nbdcheck
