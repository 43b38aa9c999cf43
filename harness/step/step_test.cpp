#include "nbdcheck/step.hpp"

#include <dlfcn.h>
#include <gtest/gtest.h>

#include <set>

namespace nbdcheck {
namespace {

using Function = long (*)(long);

void* symbol(const char* name) {
  static void* library = ::dlopen(STEP_FIXTURE, RTLD_NOW);
  return library != nullptr ? ::dlsym(library, name) : nullptr;
}
Function function(const char* name) { return reinterpret_cast<Function>(symbol(name)); }

std::unique_ptr<Stepper> stepper_for(const char* name) {
  void* entry = symbol(name);
  if (entry == nullptr) return nullptr;
  auto stepper = Stepper::attach(Code::of_plugin(entry), {entry});
  EXPECT_TRUE(stepper.has_value()) << stepper.error();
  return stepper ? std::move(*stepper) : nullptr;
}

struct Exploration {
  Recording recording;
  int reached = 0;
  int blocked = 0;
  int wrong = 0;
};

// A and B call the same function, with 3 and 4 at every point there is.
[[maybe_unused]] Exploration explore(const char* name, long expected_a, long expected_b, long a = 3,
                                     long b = 4, bool every = true) {
  Exploration result;
  const auto stepper = stepper_for(name);
  const Function call = function(name);
  StepThread a_thread;
  StepThread b_thread;
  if (!stepper) return result;
  call(7);
  result.recording = stepper->record(
      a_thread, [&] { call(a); }, every);
  for (const StepPoint& point : result.recording.points) {
    call(7);
    long got_a = 0;
    long got_b = 0;
    const StepOutcome outcome = stepper->explore(
        point, a_thread, [&] { got_a = call(a); }, b_thread, [&] { got_b = call(b); });
    EXPECT_FALSE(outcome.a_stuck || outcome.b_stuck);
    result.reached += outcome.reached ? 1 : 0;
    result.blocked += outcome.blocked ? 1 : 0;
    result.wrong += outcome.reached && (got_a != expected_a || got_b != expected_b) ? 1 : 0;
  }
  return result;
}

#if defined(__x86_64__) && !defined(NBDCHECK_SANITIZED)

TEST(Step, FindsTheGapBetweenTwoStores) {
  const auto first = explore("cached", 9, 16);
  EXPECT_TRUE(first.recording.complete);
  EXPECT_GT(first.recording.instructions, 5u);
  EXPECT_EQ(first.reached, static_cast<int>(first.recording.points.size()));
  EXPECT_GT(first.wrong, 0);
  EXPECT_LT(first.wrong, first.reached);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(explore("cached", 9, 16).wrong, first.wrong);
}

// Fewer points, which find as much.
TEST(Step, PassesOverWhatNobodyCanSee) {
  const auto all = explore("cached", 9, 16);
  const auto few = explore("cached", 9, 16, 3, 4, false);
  EXPECT_LT(few.reached, all.reached);
  EXPECT_GT(few.wrong, 0);
}

TEST(Step, LocksMakeBWaitAndAGoesOn) {
  const auto result = explore("cached_locked", 9, 16);
  EXPECT_EQ(result.wrong, 0);
  EXPECT_GT(result.blocked, 5);
  EXPECT_EQ(result.reached, static_cast<int>(result.recording.points.size()));
}

TEST(Step, SpinningIsNoHangEither) {
  const auto result = explore("cached_spinning", 9, 16);
  EXPECT_EQ(result.wrong, 0);
  EXPECT_GT(result.blocked, 0);
}

TEST(Step, CallsOfTheSystemRunAtFullSpeed) {
  const auto stepper = stepper_for("library_calls");
  StepThread thread;
  const auto before = stepper->traps();
  long length = 0;
  const auto recording =
      stepper->record(thread, [&] { length = function("library_calls")(1000000); });
  EXPECT_EQ(length, 999999);
  EXPECT_TRUE(recording.complete);
  EXPECT_LT(stepper->traps() - before, 200u);
  EXPECT_GT(recording.places, 15u);
  const auto all = explore("library_calls", 2, 3);
  EXPECT_EQ(all.wrong, 0);
  EXPECT_EQ(all.reached, static_cast<int>(all.recording.points.size()));
}

struct Undisturbed {
  const char* name;
  long a;
  long b;
};
void PrintTo(const Undisturbed& sample, std::ostream* out) { *out << sample.name; }

class StepThrough : public testing::TestWithParam<Undisturbed> {};

TEST_P(StepThrough, DisturbsNothing) {
  const Undisturbed& sample = GetParam();
  const auto result = explore(sample.name, sample.a, sample.b);
  EXPECT_EQ(result.wrong, 0);
  EXPECT_GT(result.reached, 3);
  EXPECT_TRUE(result.recording.complete);
}

INSTANTIATE_TEST_SUITE_P(Functions, StepThrough,
                         testing::Values(Undisturbed{"sorted", 13579, 13579},
                                         Undisturbed{"throws", 1, 1}, Undisturbed{"jumps", 1, 1},
                                         Undisturbed{"recursive", 5, 8},
                                         Undisturbed{"red_zone", 52, 60},
                                         Undisturbed{"with_thread", 3, 4}),
                         [](const auto& sample) { return std::string(sample.param.name); });

TEST(Step, FloatingPointStateIsKept) {
  using FloatFunction = double (*)(double);
  const auto call = reinterpret_cast<FloatFunction>(symbol("floating"));
  const auto stepper = stepper_for("floating");
  const double expected_a = call(1.5);
  const double expected_b = call(-7.25);
  StepThread a;
  StepThread b;
  const auto recording = stepper->record(
      a, [&] { call(1.5); }, true);
  EXPECT_GT(recording.points.size(), 10u);
  for (const StepPoint& point : recording.points) {
    double got_a = 0;
    double got_b = 0;
    stepper->explore(
        point, a, [&] { got_a = call(1.5); }, b, [&] { got_b = call(-7.25); });
    EXPECT_EQ(got_a, expected_a);
    EXPECT_EQ(got_b, expected_b);
  }
}

TEST(Step, RepeatedStringInstructionsAreFollowedTwice) {
  const auto stepper = stepper_for("repeats");
  StepThread thread;
  const auto recording = stepper->record(thread, [&] { function("repeats")(5); });
  EXPECT_TRUE(recording.complete);
  EXPECT_LT(recording.instructions, 100u);
  EXPECT_EQ(explore("repeats", 3, 4).reached > 0, true);
}

TEST(Step, LoopsAreStoppedAtTheirEnds) {
  const auto stepper = stepper_for("recursive");
  StepThread thread;
  const auto recording = stepper->record(thread, [&] { function("recursive")(12); });
  EXPECT_GT(recording.instructions, 5000u);
  EXPECT_LE(recording.points.size(), recording.places * 4);
}

TEST(Step, WhatDoesNotEndIsToldSo) {
  const auto hang = [] {
    const auto stepper = stepper_for("red_zone");
    stepper->set_limit(std::chrono::milliseconds(100));
    StepThread a;
    StepThread b;
    const auto recording = stepper->record(a, [] { function("red_zone")(1); });
    const auto outcome = stepper->explore(
        recording.points.front(), a, [] { function("red_zone")(1); }, b,
        [] { function("never_ends")(1); });
    ::_exit(outcome.b_stuck && !outcome.a_stuck && outcome.blocked ? 0 : 1);
  };
  EXPECT_EXIT(hang(), testing::ExitedWithCode(0), "");
}

TEST(Step, PlacesHaveNames) {
  const auto stepper = stepper_for("cached");
  const auto address = reinterpret_cast<std::uint64_t>(symbol("cached"));
  EXPECT_EQ(stepper->code().place(address + 4).substr(0, 22), "cached+0x4 (step_fixtu");
  EXPECT_EQ(stepper->code().opaque(), "");
  EXPECT_EQ(stepper->code().source(address).substr(0, 22), "cached at fixture.cpp:");
  const auto variable = reinterpret_cast<std::uint64_t>(symbol("visible"));
  EXPECT_EQ(stepper->code().variable(variable), "visible");
  EXPECT_EQ(stepper->code().variable(variable + 4), "visible+4");
  EXPECT_EQ(stepper->code().variable(64), "0x40");
}

TEST(Step, NeedsCodeToStepThrough) {
  EXPECT_FALSE(Stepper::attach(Code::of_plugin(symbol("cached")), {}).has_value());
  int variable = 0;
  EXPECT_FALSE(Stepper::attach(Code::of_plugin(symbol("cached")), {&variable}).has_value());
}

#endif

}  // namespace
}  // namespace nbdcheck
