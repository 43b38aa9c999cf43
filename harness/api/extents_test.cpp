#include "nbdcheck/extents.hpp"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <map>
#include <tuple>

namespace nbdcheck {
namespace {

using Added = ExtentList::Added;

TEST(ExtentList, ClipsToItsRange) {
  ExtentList list(100, 200);
  EXPECT_EQ(list.add(0, 50, 0), Added::ignored);
  EXPECT_EQ(list.add(50, 100, 1), Added::kept);
  EXPECT_EQ(list.add(150, 100, 2), Added::kept);
  EXPECT_EQ(list.add(250, 10, 2), Added::ignored);
  EXPECT_EQ(list.extents(), (std::vector<Extent>{{100, 50, 1}, {150, 50, 2}}));
}

TEST(ExtentList, MustBeContiguousEvenWhereIgnored) {
  ExtentList list(100, 200);
  EXPECT_EQ(list.add(0, 10, 0), Added::ignored);
  EXPECT_EQ(list.add(11, 100, 0), Added::not_contiguous);
  EXPECT_EQ(list.add(9, 100, 0), Added::not_contiguous);
  EXPECT_EQ(list.add(10, 100, 0), Added::kept) << "a refused call does not move the position";
}

TEST(ExtentList, FirstMustReachTheStart) {
  ExtentList list(100, 200);
  EXPECT_EQ(list.add(101, 10, 0), Added::gap_at_start);
}

TEST(ExtentList, ZeroLengthIsNothingAtAll) {
  ExtentList list(0, 200);
  EXPECT_EQ(list.add(77, 0, 3), Added::ignored);
  EXPECT_EQ(list.add(0, 10, 0), Added::kept);
}

TEST(ExtentList, MergesEqualNeighboursByTheWholeType) {
  ExtentList list(0, 100);
  list.add(0, 10, 0);
  list.add(10, 10, 0);
  list.add(20, 10, 4);
  EXPECT_EQ(list.extents(), (std::vector<Extent>{{0, 20, 0}, {20, 10, 4}}));
}

TEST(ExtentList, WrappingLengthDisarmsTheNextCheck) {
  ExtentList list(0, 1 << 20);
  EXPECT_EQ(list.add(1, ~std::uint64_t{0}, 0), Added::ignored);
  EXPECT_EQ(list.add(0, 1 << 20, 0), Added::kept);
}

TEST(ExtentList, FullListDropsSilently) {
  ExtentList list(0, std::uint64_t{1} << 30);
  for (std::uint32_t i = 0; i < ExtentList::max_extents; ++i) {
    ASSERT_EQ(list.add(i, 1, i & 1), Added::kept);
  }
  EXPECT_EQ(list.add(ExtentList::max_extents, 1, 1), Added::dropped);
  EXPECT_EQ(list.extents().size(), ExtentList::max_extents);
}

// The oracle knows types per byte and nothing of merging or clipping.
RC_GTEST_PROP(ExtentList, AgreesWithBytes, ()) {
  const auto start = *rc::gen::inRange<std::uint64_t>(0, 64);
  const auto end = *rc::gen::inRange<std::uint64_t>(start, 128);
  std::uint64_t position = *rc::gen::inRange<std::uint64_t>(0, start + 1);
  ExtentList list(start, end);
  std::map<std::uint64_t, std::uint32_t> bytes;
  const auto pieces = *rc::gen::container<std::vector<std::tuple<int, int>>>(
      rc::gen::tuple(rc::gen::inRange(1, 40), rc::gen::inRange(0, 4)));
  for (const auto& [length, type] : pieces) {
    const auto added =
        list.add(position, static_cast<std::uint64_t>(length), static_cast<std::uint32_t>(type));
    RC_ASSERT(added == Added::kept || added == Added::ignored);
    for (int i = 0; i < length; ++i, ++position) {
      if (position >= start && position < end) bytes[position] = static_cast<std::uint32_t>(type);
    }
  }
  std::map<std::uint64_t, std::uint32_t> kept;
  const Extent* before = nullptr;
  for (const Extent& extent : list.extents()) {
    RC_ASSERT(extent.length > 0);
    const bool merged = before == nullptr || before->type != extent.type;
    RC_ASSERT(merged);
    for (std::uint64_t i = 0; i < extent.length; ++i) kept[extent.offset + i] = extent.type;
    before = &extent;
  }
  RC_ASSERT(kept == bytes);
}

ExtentList stripes() {  // data and hole by turns, 64 KiB each
  ExtentList list(0, 1 << 20);
  for (std::uint32_t i = 0; i < 16; ++i) list.add(i * 65536, 65536, i % 2 == 0 ? 0 : 3);
  return list;
}

TEST(BlockDescriptors, OneMoreWhenABoundaryIsTheRequestsEnd) {
  const auto list = stripes();
  using Descriptors = std::vector<BlockDescriptor>;
  EXPECT_EQ(to_block_descriptors(list, 0, 65535, false), (Descriptors{{65536, 0}}));
  EXPECT_EQ(to_block_descriptors(list, 0, 65536, false), (Descriptors{{65536, 0}, {65536, 3}}));
  EXPECT_EQ(to_block_descriptors(list, 0, 65537, false), (Descriptors{{65536, 0}, {65536, 3}}));
}

TEST(BlockDescriptors, ReqOneIsCutToTheRequest) {
  const auto list = stripes();
  EXPECT_EQ(to_block_descriptors(list, 0, 512, true), (std::vector<BlockDescriptor>{{512, 0}}));
  EXPECT_EQ(to_block_descriptors(list, 0, 1 << 20, true),
            (std::vector<BlockDescriptor>{{65536, 0}}));
}

TEST(BlockDescriptors, OnlyTwoBitsTravelAndLengthsFit) {
  ExtentList list(0, std::uint64_t{1} << 40);
  list.add(0, std::uint64_t{1} << 40, 0x107);
  EXPECT_EQ(to_block_descriptors(list, 0, 512, false),
            (std::vector<BlockDescriptor>{{0xffffffff, 3}}));
}

}  // namespace
}  // namespace nbdcheck
