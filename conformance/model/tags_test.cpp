#include "model/tags.hpp"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cstring>
#include <unordered_set>
#include <vector>

namespace nbdcheck {
namespace {

constexpr std::uint64_t largest_size = UINT64_MAX >> 1;  // 2^63 - 1

// An offset of any alignment, near either end of the largest export.
rc::Gen<std::uint64_t> any_offset(std::uint64_t count) {
  return rc::gen::map(rc::gen::pair(rc::gen::inRange<std::uint64_t>(0, 6000),
                                    rc::gen::element(0ULL, 1ULL << 32, largest_size - 6000)),
                      [count](const std::pair<std::uint64_t, std::uint64_t>& p) {
                        return std::min(p.first + p.second, largest_size - count);
                      });
}

RC_GTEST_PROP(Tags, WhatIsFilledMatchesAndEveryWrongByteIsFound, ()) {
  const auto count = *rc::gen::inRange<std::uint64_t>(1, 5000);
  const std::uint64_t offset = *any_offset(count);
  const auto tag = *rc::gen::arbitrary<std::uint32_t>();
  std::vector<std::byte> data(count);
  fill_tags(data, offset, tag);
  for (std::size_t i = 0; i < count; ++i) RC_ASSERT(data[i] == tag_byte(tag, offset + i));
  RC_ASSERT(match_tags(data, offset, tag) == count);

  const auto at = *rc::gen::inRange<std::size_t>(0, count);
  data[at] ^= std::byte{1};
  RC_ASSERT(match_tags(data, offset, tag) == at);
}

TEST(Tags, AllAlignmentsAndShortLengths) {
  for (std::uint64_t offset = 0; offset < 17; ++offset) {
    for (std::size_t count = 0; count < 40; ++count) {
      std::vector<std::byte> data(count + 1, std::byte{0xee});
      fill_tags(std::span(data).first(count), offset, 7);
      EXPECT_EQ(data.back(), std::byte{0xee}) << "wrote past the end";
      EXPECT_EQ(match_tags(std::span(data).first(count), offset, 7), count);
      for (std::size_t i = 0; i < count; ++i) EXPECT_EQ(data[i], tag_byte(7, offset + i));
    }
  }
}

TEST(Tags, ThePartsOfAWriteMakeUpTheWhole) {
  std::vector<std::byte> whole(100);
  fill_tags(whole, 1003, 9);
  for (std::size_t cut = 0; cut <= whole.size(); ++cut) {
    std::vector<std::byte> parts(whole.size());
    fill_tags(std::span(parts).first(cut), 1003, 9);
    fill_tags(std::span(parts).subspan(cut), 1003 + cut, 9);
    ASSERT_EQ(parts, whole) << cut;
  }
}

RC_GTEST_PROP(Tags, AWordTellsItsPlace, ()) {
  const auto tag = *rc::gen::arbitrary<std::uint32_t>();
  const std::uint64_t place = *any_offset(8) / 8 * 8;
  const std::uint64_t word = tag_word(tag, place / 8);
  RC_ASSERT(tag_place(word, tag, place, place + 8) == place);
  // One byte of the word inside the range is enough, none is not.
  RC_ASSERT(tag_place(word, tag, place + 7, place + 4000) == place);
  RC_ASSERT(tag_place(word, tag, 0, place + 1) == place);
  RC_ASSERT(!tag_place(word, tag, place + 8, place + 4000));
  RC_ASSERT(!tag_place(word, tag, 0, place));
  RC_ASSERT(!tag_place(word, tag ^ 1, place, place + 4096));
}

TEST(Tags, NoTwoWordsAreAlike) {
  std::unordered_set<std::uint64_t> seen;
  for (std::uint32_t tag = 0; tag < 500; ++tag)
    for (std::uint64_t index = 0; index < 500; ++index)
      ASSERT_TRUE(seen.insert(tag_word(tag, index)).second) << tag << " " << index;
  for (std::uint32_t tag = 500; tag < 200'000; ++tag)
    ASSERT_TRUE(seen.insert(tag_word(tag, 0)).second) << tag;
}

TEST(Tags, TheWordsOfOneTagDoNotPassForAnothers) {
  // A plugin that returns the data of the write before, or of the sector
  // before, must not get away with a single byte in sixty.
  for (std::uint32_t tag = 1; tag < 300; ++tag) {
    std::vector<std::byte> data(64);
    fill_tags(data, 4096, tag);
    EXPECT_LT(match_tags(data, 4096, tag + 1), 8U);
    EXPECT_LT(match_tags(data, 4096 + 512, tag), 8U);
    EXPECT_LT(match_fill(data, std::byte{0}), 8U);
  }
}

TEST(Tags, FillStopsAtTheFirstOtherByte) {
  for (const std::size_t size : {0U, 1U, 7U, 8U, 9U, 63U, 4096U, 4097U, 9001U}) {
    const std::vector<std::byte> good(size, std::byte{0x5a});
    EXPECT_EQ(match_fill(good, std::byte{0x5a}), size);
    for (std::size_t at = 0; at < size; at += 1 + at / 8) {
      std::vector<std::byte> bad = good;
      bad[at] = std::byte{0x5b};
      EXPECT_EQ(match_fill(bad, std::byte{0x5a}), at);
    }
  }
}

}  // namespace
}  // namespace nbdcheck
