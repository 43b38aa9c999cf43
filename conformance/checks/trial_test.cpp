#include "checks/trial.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>

namespace nbdcheck {
namespace {

using Kind = TrialEnd::Kind;
using std::chrono::milliseconds;

constexpr milliseconds ample{20'000};

TEST(Trial, SaysWhatItDidAndFinishes) {
  const TrialEnd end = run_trial(
      [](const Trial& trial) {
        trial.say("one");
        trial.say("two\nlines");
        trial.finish();
      },
      ample);
  EXPECT_EQ(end.kind, Kind::finished);
  EXPECT_EQ(end.lines, (std::vector<std::string>{"one", "two lines"}));
}

TEST(Trial, ReturningIsNotFinishing) {
  EXPECT_EQ(run_trial([](const Trial&) {}, ample).kind, Kind::exited);
}

TEST(Trial, DiesWithoutUs) {
  const TrialEnd end = run_trial(
      [](const Trial& trial) {
        trial.say("before");
        (void)::raise(SIGKILL);
      },
      ample);
  EXPECT_EQ(end.kind, Kind::killed);
  EXPECT_EQ(end.signal, SIGKILL);
  EXPECT_EQ(end.lines, std::vector<std::string>{"before"});
  EXPECT_NE(end.words().find("SIGKILL"), std::string::npos);
}

TEST(Trial, HangsAndIsEnded) {
  const TrialEnd end = run_trial(
      [](const Trial&) {
        for (;;) ::pause();
      },
      milliseconds(50));
  EXPECT_EQ(end.kind, Kind::out_of_time);
}

TEST(Trial, GoesOnInTheBackground) {
  const TrialEnd end = run_trial(
      [](const Trial& trial) {
        const pid_t before = ::getpid();
        trial.go_into_background();
        trial.say(::getpid() != before ? "another" : "the same");
        trial.finish();
      },
      ample);
  EXPECT_EQ(end.kind, Kind::finished);
  EXPECT_EQ(end.lines, std::vector<std::string>{"another"});
  EXPECT_FALSE(end.first_hung);
}

TEST(Trial, DiesInTheBackground) {
  const TrialEnd end = run_trial(
      [](const Trial& trial) {
        trial.go_into_background();
        (void)::raise(SIGKILL);
      },
      ample);
  EXPECT_EQ(end.kind, Kind::killed);
}

void wait_for_ever() {
  for (;;) ::pause();
}

// On a busy machine the second process is seen before the first one has ended.
TEST(Trial, TheFirstProcessTakesItsTimeToExit) {
  const TrialEnd end = run_trial(
      [](const Trial& trial) {
        std::atexit([] { ::usleep(100'000); });
        trial.go_into_background();
        ::usleep(200'000);
        trial.say("served");
        trial.finish();
      },
      ample);
  EXPECT_EQ(end.kind, Kind::finished) << end.words();
  EXPECT_EQ(end.lines, std::vector<std::string>{"served"});
  EXPECT_FALSE(end.first_hung);
}

TEST(Trial, DiesInTheBackgroundBeforeTheFirstProcessEnds) {
  const TrialEnd end = run_trial(
      [](const Trial& trial) {
        std::atexit([] { ::usleep(700'000); });
        trial.go_into_background();
        (void)::raise(SIGKILL);
      },
      ample);
  EXPECT_EQ(end.kind, Kind::killed);
  EXPECT_EQ(end.signal, SIGKILL);
}

TEST(Trial, TheFirstProcessHangsInItsExit) {
  const TrialEnd end = run_trial(
      [](const Trial& trial) {
        std::atexit(wait_for_ever);
        trial.go_into_background();
        trial.finish();
      },
      ample);
  EXPECT_EQ(end.kind, Kind::finished);
  EXPECT_TRUE(end.first_hung);
}

// A plugin may write what it likes to a descriptor it found.
TEST(Trial, AForgedProcessIdIsNotKilled) {
  const pid_t self = ::getpid();
  const TrialEnd end = run_trial(
      [&](const Trial& trial) {
        trial.say("\1" + std::to_string(self));
        trial.finish();
      },
      milliseconds(300));
  EXPECT_EQ(::getpid(), self);  // still here
  EXPECT_NE(end.kind, Kind::not_started);
}

}  // namespace
}  // namespace nbdcheck
