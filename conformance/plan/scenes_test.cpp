#include "plan/scenes.hpp"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "plan/shrink_concurrent.hpp"

namespace nbdcheck {
namespace {

// What every scene must keep to, whatever the aim.
void check_scene(const SceneAim& aim, const std::vector<Operation>& scene) {
  ASSERT_FALSE(scene.empty());
  unsigned round = 0;
  std::map<unsigned, unsigned> home;  // of connections
  std::set<std::uint32_t> tags;
  for (const Operation& op : scene) {
    ASSERT_GE(op.round, round);
    round = op.round;
    ASSERT_LT(op.connection, std::max(1U, aim.connections));
    ASSERT_LT(op.thread, max_plan_threads);
    if (op.kind == OpKind::open || op.kind == OpKind::close) {
      ASSERT_EQ(home.emplace(op.connection, op.thread).first->second, op.thread);
    } else {
      ASSERT_TRUE(home.contains(op.connection)) << "not opened";
    }
    if (!aim.spread) {
      ASSERT_EQ(op.thread, op.connection);
    }
    if (!has_range(op.kind)) continue;
    ASSERT_GT(op.count, 0U);
    ASSERT_LE(op.count, aim.max_request);
    ASSERT_LE(op.offset + op.count, aim.size);
    ASSERT_EQ(op.offset % aim.block, 0U);
    ASSERT_EQ(op.count % aim.block, 0U);
    if (modifies(op.kind)) {
      ASSERT_TRUE(tags.insert(op.tag).second);
    }
    if (op.kind == OpKind::trim) {
      ASSERT_TRUE(aim.can_trim);
    }
    if (op.kind == OpKind::zero) {
      ASSERT_TRUE(aim.can_zero);
    }
  }
  // No thread touches a connection in a round in which another opens or closes it.
  for (const Operation& a : scene) {
    if (a.kind != OpKind::open && a.kind != OpKind::close) continue;
    for (const Operation& b : scene)
      if (b.round == a.round && b.connection == a.connection) {
        ASSERT_EQ(b.thread, a.thread);
      }
  }
}

TEST(Scenes, KeepToTheirAim) {
  for (const std::uint64_t size : {2048UL, 4096UL, 65536UL, 1048576UL, 1048577UL, 1UL << 40}) {
    for (const std::uint64_t block : {1UL, 512UL, 4096UL, 65536UL}) {
      for (const int kind : {0, 1, 2, 3}) {
        SceneAim aim;
        aim.size = size;
        aim.block = block;
        aim.max_request = kind == 3 ? 65536 : 64U << 20;
        aim.spread = kind != 1;
        aim.connections = kind == 0 ? 1 : 3;
        aim.shared = kind == 2;
        aim.can_zero = aim.can_trim = kind != 3;
        aim.can_flush = true;
        if (SceneMaker::smallest_export(aim) > size) continue;
        SceneMaker scenes(aim, size + block);
        for (int i = 0; i < 60; ++i) {
          const auto scene = scenes.next();
          check_scene(aim, scene);
          if (HasFatalFailure()) return;
        }
      }
    }
  }
}

TEST(Scenes, ConnectionsWithoutMultiConnStayApart) {
  SceneAim aim;
  aim.size = 1 << 20;
  aim.connections = 3;
  SceneMaker scenes(aim, 7);
  for (int i = 0; i < 100; ++i) {
    const auto scene = scenes.next();
    for (const Operation& a : scene) {
      for (const Operation& b : scene) {
        if (a.connection == b.connection || !has_range(a.kind) || !has_range(b.kind)) continue;
        const std::uint64_t distance =
            a.offset < b.offset ? b.offset - (a.offset + a.count) : a.offset - (b.offset + b.count);
        ASSERT_GE(distance, 64U << 10);
      }
    }
  }
}

TEST(Scenes, AreAFunctionOfTheSeed) {
  SceneAim aim;
  aim.size = 1 << 20;
  SceneMaker a(aim, 3);
  SceneMaker b(aim, 3);
  SceneMaker c(aim, 4);
  const auto first = a.next();
  EXPECT_EQ(first, b.next());
  EXPECT_NE(first, c.next());
}

TEST(Scenes, AreAboutAsLongAsIsWanted) {
  SceneAim aim;
  aim.size = 1 << 20;
  aim.most_operations = 40;
  SceneMaker scenes(aim, 3);
  for (int i = 0; i < 200; ++i) ASSERT_LE(scenes.next().size(), 120U);
}

// --- shrinking ---------------------------------------------------------------

Plan some_scene() {
  SceneAim aim;
  aim.size = 1 << 20;
  aim.connections = 3;
  aim.shared = aim.can_flush = true;
  Plan plan;
  SceneMaker scenes(aim, 11);
  plan.operations = scenes.next();
  return plan;
}

// Two writes of different threads in one round, and a read after it.
bool collides(const Plan& plan) {
  for (const Operation& a : plan.operations) {
    for (const Operation& b : plan.operations) {
      if (a.kind != OpKind::write || b.kind != OpKind::write || a.round != b.round) continue;
      if (a.thread >= b.thread) continue;
      for (const Operation& r : plan.operations)
        if (r.kind == OpKind::read && r.round > a.round) return true;
    }
  }
  return false;
}

TEST(ShrinkConcurrent, LeavesWhatIsNeeded) {
  const Shrunk shrunk = shrink_concurrent(some_scene(), collides, {2000, std::chrono::seconds(60)});
  ASSERT_TRUE(shrunk.reproduced);
  EXPECT_TRUE(shrunk.finished);
  EXPECT_TRUE(collides(shrunk.plan));
  EXPECT_EQ(shrunk.plan.operations.size(), 3U);
  EXPECT_LE(shrunk.plan.operations.back().round, 1U);
  for (const Operation& op : shrunk.plan.operations) {
    EXPECT_LE(op.thread, 1U);
    EXPECT_EQ(op.connection, 0U);
    EXPECT_LE(op.count, 512U);
  }
}

TEST(ShrinkConcurrent, WhatFailsInSequenceBecomesOne) {
  const auto fails = [](const Plan& plan) {
    return std::any_of(plan.operations.begin(), plan.operations.end(),
                       [](const Operation& op) { return op.kind == OpKind::write; });
  };
  const Shrunk shrunk = shrink_concurrent(some_scene(), fails, {2000, std::chrono::seconds(60)});
  ASSERT_TRUE(shrunk.reproduced);
  EXPECT_FALSE(concurrent(shrunk.plan.operations));
}

TEST(ShrinkConcurrent, SaysWhenItCouldNot) {
  const Plan plan = some_scene();
  const Shrunk shrunk =
      shrink_concurrent(plan, [](const Plan&) { return false; }, {200, std::chrono::seconds(60)});
  EXPECT_FALSE(shrunk.reproduced);
  EXPECT_EQ(shrunk.plan, plan);
}

}  // namespace
}  // namespace nbdcheck
