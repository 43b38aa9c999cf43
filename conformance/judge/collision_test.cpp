#include "judge/collision.hpp"

#include <gtest/gtest.h>

#include <array>

#include "model/tags.hpp"

namespace nbdcheck {
namespace {

std::vector<std::byte> tagged(std::uint64_t offset, std::size_t count, std::uint32_t tag) {
  std::vector<std::byte> data(count);
  fill_tags(data, offset, tag);
  return data;
}

CollisionOp write(std::uint64_t offset, std::uint32_t count, std::uint32_t tag) {
  return {OpKind::write, offset, count, true, tagged(offset, count, tag)};
}

// 8 KiB in which everything was written with tag 1, and what came of it.
class Collision : public testing::Test {
 protected:
  Collision() : ops{write(0, 4096, 2), write(4096, 4096, 3)}, ranges(1) {
    ranges[0].before = tagged(0, 8192, 1);
    ranges[0].after = ranges[0].before;
  }

  // As if this had been done last.
  void put(const CollisionOp& op, std::uint64_t from, std::uint64_t to) {
    for (std::uint64_t at = from; at < to; ++at)
      ranges[0].after[at] = op.kind == OpKind::zero ? std::byte{0} : op.data[at - op.offset];
  }
  void put(const CollisionOp& op) { put(op, op.offset, op.offset + op.count); }

  std::optional<Clash> judge() { return judge_collision(ops, names, ranges); }

  std::array<CollisionOp, 2> ops;
  std::array<std::string, 2> names{"A", "B"};
  std::vector<CollisionRange> ranges;
};

TEST_F(Collision, NeighboursBothStay) {
  put(ops[0]);
  EXPECT_TRUE(judge().has_value());
  put(ops[1]);
  EXPECT_FALSE(judge().has_value());
}

TEST_F(Collision, SaysWhatIsMissing) {
  put(ops[0]);
  const auto clash = judge();
  ASSERT_TRUE(clash);
  EXPECT_EQ(clash->kind, Clash::Kind::wrong);
  EXPECT_EQ(clash->message, "Afterwards offset 4096 holds what was there before.");
  EXPECT_EQ(clash->expected, "at offset 4096: the data of B");
}

TEST_F(Collision, OfOneThatFailedAnythingGoes) {
  put(ops[0]);
  ops[1].succeeded = false;
  EXPECT_FALSE(judge().has_value());
  put(ops[1], 4096, 5000);
  EXPECT_FALSE(judge().has_value());
}

TEST_F(Collision, NothingElseChanges) {
  ops[1] = write(0, 4096, 3);
  put(ops[1]);
  EXPECT_FALSE(judge().has_value());
  ranges[0].after[8000] ^= std::byte{1};
  const auto clash = judge();
  ASSERT_TRUE(clash);
  EXPECT_EQ(clash->expected, "at offset 8000: what was there before");
}

TEST_F(Collision, WhatIsNotKnownIsNotJudged) {
  ranges[0].before.clear();
  ranges[0].after = tagged(0, 8192, 9);
  put(ops[0]);
  put(ops[1]);
  EXPECT_FALSE(judge().has_value());
}

TEST_F(Collision, EitherMayBeLastButNotWithinASector) {
  ops[1] = write(0, 4096, 3);
  put(ops[0]);
  EXPECT_FALSE(judge().has_value());
  put(ops[1], 0, 512);
  EXPECT_FALSE(judge().has_value()) << "sector by sector";
  put(ops[1], 0, 520);
  const auto clash = judge();
  ASSERT_TRUE(clash);
  EXPECT_EQ(clash->kind, Clash::Kind::torn_sector);
}

TEST_F(Collision, ZeroesAreData) {
  ops[1] = {OpKind::zero, 0, 4096, true};
  put(ops[1]);
  EXPECT_FALSE(judge().has_value());
  put(ops[0]);
  EXPECT_FALSE(judge().has_value());
  ranges[0].after = ranges[0].before;
  EXPECT_EQ(judge()->expected, "at offset 0: the data of A, or zeroes");
}

TEST_F(Collision, AfterATrimAnythingGoesThereAndNowhereElse) {
  ops[1] = {OpKind::trim, 0, 2048, true};
  put(ops[0]);
  EXPECT_FALSE(judge().has_value());
  ranges[0].after[100] = std::byte{77};
  EXPECT_FALSE(judge().has_value());
  ranges[0].after[3000] ^= std::byte{77};
  EXPECT_TRUE(judge().has_value());
}

TEST_F(Collision, ReadsSeeOldOrNew) {
  put(ops[0]);
  ops[1] = {OpKind::read, 0, 8192, true, ranges[0].before};
  EXPECT_FALSE(judge().has_value());
  ops[1].data = ranges[0].after;
  EXPECT_FALSE(judge().has_value());
  std::copy_n(ranges[0].before.begin(), 1024, ops[1].data.begin());
  EXPECT_FALSE(judge().has_value()) << "sector by sector";
  std::copy_n(ranges[0].before.begin(), 1032, ops[1].data.begin());
  ASSERT_TRUE(judge().has_value());
  EXPECT_EQ(judge()->kind, Clash::Kind::torn_read);
  ops[1].data[5000] ^= std::byte{1};
  ASSERT_TRUE(judge().has_value());
  EXPECT_EQ(judge()->kind, Clash::Kind::wrong);
  ops[1].succeeded = false;
  EXPECT_FALSE(judge().has_value());
}

TEST_F(Collision, ForeignDataAreTraced) {
  put(ops[0]);
  put(ops[1]);
  std::copy_n(ops[1].data.begin() + 64, 8, ranges[0].after.begin() + 128);
  EXPECT_EQ(judge()->message, "Afterwards offset 128 holds the data of B for offset 4160.");
}

TEST_F(Collision, PartOfASector) {
  ops[0] = write(0, 256, 2);
  ops[1] = write(256, 256, 3);
  put(ops[0]);
  put(ops[1]);
  EXPECT_FALSE(judge().has_value());
  std::copy_n(ranges[0].before.begin() + 256, 256, ranges[0].after.begin() + 256);
  EXPECT_TRUE(judge().has_value());
}

}  // namespace
}  // namespace nbdcheck
