#include "plan/shrink.hpp"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <set>

#include "plan/generate.hpp"

namespace nbdcheck {
namespace {

constexpr ShrinkLimits plenty{.tries = 100'000, .time = std::chrono::minutes(1)};

Plan some_plan(std::size_t operations, std::uint64_t seed = 1, unsigned connections = 1) {
  Aim aim;
  aim.size = std::uint64_t{1} << 33;
  aim.can_fua = true;
  aim.connections = connections;
  Generator generator(aim, {.read = 40, .write = 40, .zero = 5, .flush = 5, .reopen = 2}, seed);
  Plan plan;
  plan.check = "data.random";
  plan.seed = seed;
  for (std::size_t i = 0; i < operations; ++i) plan.operations.push_back(generator.next());
  return plan;
}

Operation range(OpKind kind, std::uint64_t offset, std::uint32_t count, std::uint32_t tag = 0) {
  Operation op;
  op.kind = kind;
  op.offset = offset;
  op.count = count;
  op.tag = tag;
  return op;
}

bool overlap(const Operation& a, const Operation& b) {
  return a.offset < b.offset + b.count && b.offset < a.offset + a.count;
}

bool has_tag(const Plan& plan, std::uint32_t tag) {
  return std::any_of(plan.operations.begin(), plan.operations.end(),
                     [&](const Operation& op) { return op.tag == tag; });
}

TEST(Shrink, TwoOperationsOutOfManyAreFound) {
  Plan plan = some_plan(2000);
  plan.operations[700] = range(OpKind::write, 1 << 30, 512, 900'001);
  plan.operations[1400] = range(OpKind::zero, 1 << 20, 512, 900'002);
  plan.operations.push_back(range(OpKind::read, 4096, 512));
  const auto fails = [](const Plan& candidate) {
    const auto& ops = candidate.operations;
    const auto a = std::find_if(ops.begin(), ops.end(), [](auto& op) { return op.tag == 900'001; });
    return ops.back().kind == OpKind::read &&
           std::any_of(a, ops.end(), [](auto& op) { return op.tag == 900'002; });
  };
  const Shrunk shrunk = shrink(plan, fails, plenty);
  EXPECT_TRUE(shrunk.reproduced);
  EXPECT_TRUE(shrunk.finished);
  ASSERT_EQ(shrunk.plan.operations.size(), 3U);
  EXPECT_EQ(shrunk.plan.operations[0].tag, 900'001U);
  EXPECT_EQ(shrunk.plan.operations[1].tag, 900'002U);
  for (const Operation& op : shrunk.plan.operations) EXPECT_EQ(op.count, 1U);
  EXPECT_EQ(shrunk.plan.check, plan.check);
  EXPECT_EQ(shrunk.plan.seed, plan.seed);
  EXPECT_LT(shrunk.tries, 300U) << "the default limit must do for the usual fault";
}

TEST(Shrink, AThousandWritesStayAThousand) {
  Plan plan;
  for (std::uint32_t i = 1; i <= 1500; ++i)
    plan.operations.push_back(range(OpKind::write, i, 1, i));
  plan.operations.push_back(range(OpKind::read, 0, 1));
  const auto fails = [](const Plan& candidate) { return candidate.operations.size() > 1000; };
  const Shrunk shrunk = shrink(plan, fails, plenty);
  EXPECT_EQ(shrunk.plan.operations.size(), 1001U);
  EXPECT_EQ(shrunk.plan.operations.back().kind, OpKind::read);
  EXPECT_TRUE(shrunk.finished);
}

TEST(Shrink, RangesBecomeShortAndMoveDown) {
  Plan plan = some_plan(300);
  plan.operations.push_back(
      range(OpKind::write, (std::uint64_t{5} << 32) + 12'345, 100'000, 800'000));
  plan.operations.back().flags = command_flag::fua;
  plan.operations.back().payload = Payload::ones;
  plan.operations.push_back(range(OpKind::read, (std::uint64_t{5} << 32) + 50'000, 70'000));
  const auto fails = [](const Plan& candidate) {
    const auto& ops = candidate.operations;
    return ops.back().kind == OpKind::read &&
           std::any_of(ops.begin(), ops.end() - 1, [&](const Operation& op) {
             return op.tag == 800'000 && overlap(op, ops.back());
           });
  };
  const Shrunk shrunk = shrink(plan, fails, plenty);
  ASSERT_EQ(shrunk.plan.operations.size(), 2U);
  const Operation& write = shrunk.plan.operations[0];
  EXPECT_EQ(write.flags, 0U);
  EXPECT_EQ(write.payload, Payload::tags);
  EXPECT_LE(write.count, 512U);
  EXPECT_EQ(shrunk.plan.operations[1].count, 1U);
  EXPECT_LT(write.offset, 1U << 20) << "the scene has moved towards the start";
}

TEST(Shrink, WhatNeedsItsHeightStaysUp) {
  Plan plan;
  plan.operations.push_back(range(OpKind::read, (std::uint64_t{1} << 32) + 777, 4096));
  const auto fails = [](const Plan& candidate) {
    return candidate.operations.back().offset + candidate.operations.back().count > std::uint64_t{1}
                                                                                        << 32;
  };
  const Shrunk shrunk = shrink(plan, fails, plenty);
  EXPECT_TRUE(fails(shrunk.plan));
  EXPECT_EQ(shrunk.plan.operations.back().count, 1U);
}

TEST(Shrink, AFaultThatNeedsTwoConnectionsKeepsThem) {
  Plan plan = some_plan(400, 3, 3);
  plan.operations.push_back(range(OpKind::read, 0, 1));
  plan.operations.back().connection = 2;
  const auto fails = [](const Plan& candidate) {
    const auto& ops = candidate.operations;
    return ops.back().connection == 2 && std::any_of(ops.begin(), ops.end(), [](const auto& op) {
             return op.connection == 1 && op.kind == OpKind::write;
           });
  };
  const Shrunk shrunk = shrink(plan, fails, plenty);
  EXPECT_EQ(shrunk.plan.operations.size(), 2U);
}

TEST(Shrink, WhatDoesNotFailAgainIsLeftAlone) {
  const Plan plan = some_plan(100);
  int calls = 0;
  const Shrunk shrunk = shrink(
      plan,
      [&](const Plan& candidate) {
        ++calls;
        EXPECT_EQ(candidate, plan);
        return false;
      },
      plenty);
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(shrunk.tries, 1U);
  EXPECT_FALSE(shrunk.reproduced);
  EXPECT_FALSE(shrunk.finished);
  EXPECT_EQ(shrunk.plan, plan);
}

TEST(Shrink, AFlakyFaultEndsWithAPlanThatDidFail) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    Random random(seed);
    std::vector<Plan> failed;
    const Shrunk shrunk = shrink(
        some_plan(200, seed),
        [&](const Plan& candidate) {
          if (!has_tag(candidate, 7) || random.percent(30)) return false;
          failed.push_back(candidate);
          return true;
        },
        plenty);
    if (!shrunk.reproduced) continue;
    ASSERT_FALSE(failed.empty());
    EXPECT_EQ(shrunk.plan, failed.back());
    EXPECT_TRUE(has_tag(shrunk.plan, 7));
  }
}

TEST(Shrink, LimitsAreKept) {
  const auto always = [](const Plan&) { return true; };
  for (const std::size_t tries : {1U, 2U, 5U, 17U}) {
    std::size_t calls = 0;
    const Shrunk shrunk = shrink(some_plan(3000),
                                 [&](const Plan& candidate) {
                                   ++calls;
                                   return candidate.operations.size() > 100;
                                 },
                                 {.tries = tries, .time = std::chrono::minutes(1)});
    EXPECT_EQ(calls, tries);
    EXPECT_EQ(shrunk.tries, tries);
    EXPECT_FALSE(shrunk.finished);
  }
  const Shrunk no_time =
      shrink(some_plan(3000), always, {.tries = 1000, .time = std::chrono::milliseconds(0)});
  EXPECT_EQ(no_time.tries, 1U) << "whether it fails at all is always asked";
  EXPECT_TRUE(no_time.reproduced);
  EXPECT_FALSE(no_time.finished);
}

TEST(Shrink, AlwaysFailingEndsInTheLastOperationAlone) {
  Plan plan = some_plan(500);
  plan.operations.push_back(range(OpKind::write, 12'345, 678, 99'999));
  const Shrunk shrunk = shrink(
      plan, [](const Plan&) { return true; }, plenty);
  ASSERT_EQ(shrunk.plan.operations.size(), 1U);
  EXPECT_EQ(shrunk.plan.operations[0].kind, OpKind::write);
  EXPECT_EQ(shrunk.plan.operations[0].tag, 99'999U);
  EXPECT_TRUE(shrunk.finished);
}

TEST(Shrink, NothingToShrink) {
  const Shrunk shrunk = shrink(
      Plan{}, [](const Plan&) { return true; }, plenty);
  EXPECT_TRUE(shrunk.reproduced);
  EXPECT_TRUE(shrunk.plan.operations.empty());
}

// Whatever the fault needs, what comes out fails, its operations are some of
// the old ones in the old order, and none of them can be spared.
RC_GTEST_PROP(Shrink, IsMinimalAndKeepsTheOrder, ()) {
  Plan plan = some_plan(*rc::gen::inRange<std::size_t>(10, 300), *rc::gen::inRange(1U, 1000U));
  plan.operations.push_back(range(OpKind::read, 0, 512));
  const auto needed = *rc::gen::container<std::set<std::uint32_t>>(rc::gen::inRange(1U, 100U));
  std::vector<std::uint32_t> wanted;
  for (const std::uint32_t tag : needed)
    if (has_tag(plan, tag)) wanted.push_back(tag);
  const auto fails = [&](const Plan& candidate) {
    return !candidate.operations.empty() && candidate.operations.back().kind == OpKind::read &&
           std::all_of(wanted.begin(), wanted.end(),
                       [&](std::uint32_t tag) { return has_tag(candidate, tag); });
  };
  const Shrunk shrunk = shrink(plan, fails, plenty);
  RC_ASSERT(shrunk.finished);
  RC_ASSERT(fails(shrunk.plan));
  RC_ASSERT(shrunk.plan.operations.size() == wanted.size() + 1);
  for (std::size_t i = 0; i < wanted.size(); ++i)
    RC_ASSERT(shrunk.plan.operations[i].tag == wanted[i]);
}

}  // namespace
}  // namespace nbdcheck
