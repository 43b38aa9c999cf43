#include "checks/payload_finder.hpp"

#include <gtest/gtest.h>

#include "model/tags.hpp"

namespace nbdcheck {
namespace {

void put(std::vector<std::byte>& bytes, std::size_t at, std::uint32_t tag, std::uint64_t offset,
         std::size_t count) {
  fill_tags(std::span(bytes).subspan(at, count), offset, tag);
}

TEST(PayloadFinder, FindsDataAtAnyShift) {
  PayloadFinder finder;
  finder.add(7, 4096, 512);
  finder.add(9, 512, 64);
  std::vector<std::byte> bytes(2000, std::byte{0x11});
  put(bytes, 13, 7, 4096, 512);
  put(bytes, 700, 9, 512, 64);
  put(bytes, 1001, 7, 4096 + 256, 128);
  const auto found = finder.find(bytes);
  ASSERT_EQ(found.size(), 3U);
  EXPECT_EQ(found[0].name, 7U);
  EXPECT_EQ(found[0].place, 4096U);
  EXPECT_EQ(found[0].at, 13U);
  EXPECT_EQ(found[0].size, 512U);
  EXPECT_EQ(found[1].name, 9U);
  EXPECT_EQ(found[1].at, 700U);
  EXPECT_EQ(found[1].size, 64U);
  EXPECT_EQ(found[2].place, 4096U + 256);
  EXPECT_EQ(found[2].at, 1001U);
  EXPECT_EQ(found[2].size, 128U);
}

TEST(PayloadFinder, KnowsNothingElse) {
  PayloadFinder finder;
  finder.add(7, 4096, 512);
  std::vector<std::byte> bytes(4096);
  put(bytes, 0, 8, 4096, 512);    // another write
  put(bytes, 512, 7, 8192, 512);  // another place
  EXPECT_TRUE(finder.find(bytes).empty());
  EXPECT_TRUE(finder.find(std::span(bytes).first(7)).empty());
  EXPECT_TRUE(PayloadFinder().find(bytes).empty());
}

TEST(PayloadFinder, APieceEndsWhereTheDataDo) {
  PayloadFinder finder;
  finder.add(1, 0, 64);
  finder.add(2, 64, 64);
  std::vector<std::byte> bytes(128);
  put(bytes, 0, 1, 0, 64);
  put(bytes, 64, 2, 64, 64);
  const auto found = finder.find(bytes);
  ASSERT_EQ(found.size(), 2U);
  EXPECT_EQ(found[0].size, 64U);
  EXPECT_EQ(found[1].size, 64U);
}

}  // namespace
}  // namespace nbdcheck
