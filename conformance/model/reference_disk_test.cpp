#include "model/reference_disk.hpp"

#include <gtest/gtest.h>

#include <limits>

#include "model/tags.hpp"
#include "plan/random.hpp"

namespace nbdcheck {
namespace {

constexpr std::uint64_t largest = std::numeric_limits<std::int64_t>::max();

std::vector<std::byte> bytes(std::size_t count, int value) {
  return std::vector<std::byte>(count, static_cast<std::byte>(value));
}

TEST(ReferenceDisk, UnreadIsAnythingOnceAndTheSameEverAfter) {
  ReferenceDisk disk(100);
  EXPECT_FALSE(disk.compare(0, bytes(100, 1)));
  EXPECT_FALSE(disk.compare(0, bytes(100, 2)));
  EXPECT_FALSE(disk.read(10, bytes(20, 1)));
  EXPECT_FALSE(disk.read(0, bytes(10, 2)));
  EXPECT_FALSE(disk.read(10, bytes(20, 1)));
  const auto mismatch = disk.read(5, bytes(10, 2));
  ASSERT_TRUE(mismatch);
  EXPECT_EQ(mismatch->offset, 10U);
  EXPECT_TRUE(mismatch->expected.learnt);
  disk.forget();
  EXPECT_FALSE(disk.read(0, bytes(100, 9)));
}

TEST(ReferenceDisk, NothingIsLearntFromAReadThatIsWrong) {
  ReferenceDisk disk(100);
  disk.set(0, 10, Content::filled(7, 1));
  EXPECT_TRUE(disk.read(0, bytes(20, 8)));
  EXPECT_EQ(disk.at(15).kind, Content::Kind::unread);
}

TEST(ReferenceDisk, TheLastByteOfTheLargestExport) {
  ReferenceDisk disk(largest);
  disk.set(largest - 1, 1, Content::filled(3, 1));
  disk.set(0, 1, Content::filled(4, 2));
  EXPECT_EQ(disk.at(largest - 1), Content::filled(3, 1));
  EXPECT_EQ(disk.at(largest - 2), Content::unread());
  EXPECT_EQ(disk.runs(), 3U);
  EXPECT_TRUE(disk.compare(largest - 2, bytes(2, 4)));
  EXPECT_FALSE(disk.compare(largest - 1, bytes(1, 3)));
  EXPECT_EQ(disk.first_nonzero(1, largest - 1), largest - 1);
  disk.set(0, largest, Content::filled(0, 3));
  EXPECT_EQ(disk.runs(), 1U);
  EXPECT_FALSE(disk.first_nonzero(0, largest));
  std::vector<std::byte> data(4096);
  disk.set(largest - 4096, 4096, Content::tagged(5));
  fill_tags(data, largest - 4096, 5);
  EXPECT_FALSE(disk.read(largest - 4096, data));
  data.back() ^= std::byte{0x10};
  ASSERT_TRUE(disk.compare(largest - 4096, data));
  EXPECT_EQ(disk.compare(largest - 4096, data)->offset, largest - 1);
}

TEST(ReferenceDisk, MemoryGrowsWithOperationsAndNotWithTheExport) {
  ReferenceDisk disk(largest);
  Random random(1);
  for (std::uint32_t i = 1; i <= 20'000; ++i) {
    const std::uint64_t count = random.logarithmic(1, std::uint64_t{1} << 40);
    disk.set(random.below(largest - count), count, Content::tagged(i));
    ASSERT_LE(disk.runs(), 2 * std::size_t{i} + 1);
  }
  disk.set(0, largest, Content::tagged(1));
  EXPECT_EQ(disk.runs(), 1U);
}

TEST(ReferenceDisk, NeighboursThatHoldTheSameBecomeOneRun) {
  ReferenceDisk disk(1 << 20);
  for (std::uint64_t at = 0; at < 1 << 20; at += 512) disk.set(at, 512, Content::filled(0, 1));
  // The very last is not merged: a whole run that is overwritten stays one.
  EXPECT_EQ(disk.runs(), 2U);
  disk.set(1024, 512, Content::filled(1, 2));
  EXPECT_EQ(disk.runs(), 4U);
  disk.set(1024, 100, Content::filled(0, 1));
  disk.set(1024 + 412, 100, Content::filled(0, 1));
  EXPECT_EQ(disk.runs(), 4U);
  EXPECT_EQ(disk.at(1123), Content::filled(0, 1));
  EXPECT_EQ(disk.at(1124), Content::filled(1, 2));
  EXPECT_EQ(disk.at(1435), Content::filled(1, 2));
  EXPECT_EQ(disk.at(1436), Content::filled(0, 1));
}

TEST(ReferenceDisk, AFailedWriteLeavesOldOrNew) {
  ReferenceDisk disk(64);
  disk.set(0, 64, Content::filled(1, 1));
  disk.maybe(8, 8, Content::filled(2, 2));
  disk.maybe(12, 8, Content::filled(3, 3));
  EXPECT_EQ(disk.values(disk.at(8), 8).size(), 2U);
  EXPECT_EQ(disk.values(disk.at(12), 12).size(), 3U);
  EXPECT_FALSE(disk.compare(8, bytes(8, 1)));
  EXPECT_FALSE(disk.compare(8, bytes(8, 2)));
  EXPECT_EQ(disk.compare(8, bytes(8, 3))->offset, 8U);
  EXPECT_FALSE(disk.compare(12, bytes(4, 3)));
  EXPECT_EQ(disk.compare(12, bytes(8, 2))->offset, 16U);
  EXPECT_EQ(disk.compare(16, bytes(4, 2))->offset, 16U);
  disk.maybe(0, 4, Content::any(4));
  EXPECT_FALSE(disk.compare(0, bytes(4, 99)));
}

TEST(ReferenceDisk, ManyFailuresEndInNoJudgement) {
  ReferenceDisk disk(8);
  disk.set(0, 8, Content::filled(0, 1));
  for (std::uint32_t i = 1; i < 50; ++i)
    disk.maybe(0, 8, Content::filled(static_cast<std::uint8_t>(i), i + 1));
  EXPECT_EQ(disk.at(0).kind, Content::Kind::mixed);
  EXPECT_TRUE(disk.compare(0, bytes(8, 77)));
  disk.maybe(0, 8, Content::filled(60, 60));
  EXPECT_EQ(disk.at(0).kind, Content::Kind::any);
}

TEST(ReferenceDisk, ZeroIsWhatIsZeroForCertain) {
  ReferenceDisk disk(10'000);
  EXPECT_FALSE(disk.first_nonzero(0, 10'000)) << "unread bytes may be zero";
  disk.set(0, 10'000, Content::filled(0, 1));
  disk.set(5000, 10, Content::any(2));
  EXPECT_FALSE(disk.first_nonzero(0, 10'000));
  disk.maybe(6000, 10, Content::filled(9, 3));
  EXPECT_FALSE(disk.first_nonzero(0, 10'000)) << "the failed write may have left zeroes";
  disk.set(7000, 1, Content::filled(9, 4));
  EXPECT_EQ(disk.first_nonzero(0, 10'000), 7000U);
  EXPECT_FALSE(disk.first_nonzero(0, 7000));
  EXPECT_FALSE(disk.first_nonzero(7001, 2999));
  disk.set(7000, 1, Content::filled(0, 5));
  EXPECT_FALSE(disk.read(0, bytes(10, 0)));
  EXPECT_FALSE(disk.first_nonzero(0, 10'000));
}

TEST(ReferenceDisk, LearntZeroesCostNextToNothing) {
  ReferenceDisk disk(std::uint64_t{16} << 20);
  const auto zeroes = bytes(1 << 20, 0);
  for (std::uint64_t at = 0; at < disk.size(); at += zeroes.size())
    EXPECT_FALSE(disk.read(at, zeroes));
  EXPECT_LE(disk.runs(), 2U);
}

TEST(ReferenceDisk, LiteralBytesAreBounded) {
  ReferenceDisk disk(ReferenceDisk::literal_limit + (8U << 20));
  std::vector<std::byte> data(1 << 20);
  for (std::uint64_t at = 0; at < disk.size(); at += data.size()) {
    fill_tags(data, at, 1);
    EXPECT_FALSE(disk.read(at, data));
  }
  EXPECT_EQ(disk.at(ReferenceDisk::literal_limit - 1).kind, Content::Kind::literal);
  EXPECT_EQ(disk.at(ReferenceDisk::literal_limit).kind, Content::Kind::unread);
  const std::uint64_t last = disk.size() - data.size();
  EXPECT_FALSE(disk.read(last, bytes(4096, 0)));
  EXPECT_TRUE(disk.at(last).learnt) << "what costs nothing is still learnt";
}

TEST(ReferenceDisk, TakesOverWhatAnotherHasLearnt) {
  ReferenceDisk disk(10'000);
  ReferenceDisk other(10'000);
  disk.set(0, 100, Content::filled(1, 1));
  std::vector<std::byte> data(300);
  fill_tags(data, 0, 9);
  EXPECT_FALSE(other.read(0, data));
  EXPECT_FALSE(other.read(5000, bytes(10, 6)));
  other.set(200, 10, Content::filled(2, 2));
  disk.learn_from(other);
  EXPECT_EQ(disk.at(99), Content::filled(1, 1)) << "what we know stands";
  EXPECT_EQ(disk.values(disk.at(100), 100), std::vector{data[100]});
  EXPECT_EQ(disk.at(200), Content::unread()) << "a write of the other is not learnt";
  EXPECT_EQ(disk.values(disk.at(299), 299), std::vector{data[299]});
  EXPECT_EQ(disk.values(disk.at(5009), 5009), std::vector{std::byte{6}});
  EXPECT_EQ(disk.at(300), Content::unread());
  EXPECT_EQ(disk.at(9999), Content::unread());
}

}  // namespace
}  // namespace nbdcheck
