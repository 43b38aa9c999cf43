#include "judge/survival.hpp"

#include <gtest/gtest.h>

#include "model/tags.hpp"

namespace nbdcheck {
namespace {

constexpr Survival::Range place{4096, 512};

Operation op(OpKind kind, std::uint32_t tag = 0, std::uint32_t flags = 0,
             std::uint8_t connection = 0) {
  Operation o{.kind = kind};
  o.connection = connection;
  o.flags = static_cast<std::uint8_t>(flags);
  o.tag = tag;
  if (kind != OpKind::flush) {
    o.offset = place.offset;
    o.count = place.count;
  }
  return o;
}
Operation write(std::uint32_t tag, std::uint32_t flags = 0, std::uint8_t connection = 0) {
  return op(OpKind::write, tag, flags, connection);
}
Operation flush(std::uint8_t connection = 0) { return op(OpKind::flush, 0, 0, connection); }

std::vector<std::byte> filled(std::byte value) { return std::vector(place.count, value); }
std::vector<std::byte> data(std::uint32_t tag) {
  std::vector<std::byte> bytes(place.count);
  fill_tags(bytes, place.offset, tag);
  return bytes;
}
const auto old = filled(std::byte{0xee});

// The rule that is broken when `found` is there after these requests; "" none.
std::string verdict(const std::vector<Operation>& requests, const std::vector<std::byte>& found,
                    Survival::Rules rules = {}, std::size_t failing = 99) {
  Survival survival({place}, rules);
  survival.begin({old});
  for (std::size_t i = 0; i < requests.size(); ++i) survival.step(requests[i], i != failing);
  const auto violation = survival.judge({found});
  return violation ? violation->rule : "";
}

TEST(Survival, WithoutAPromiseAnythingMayBeThere) {
  EXPECT_EQ(verdict({write(1)}, old), "");
  EXPECT_EQ(verdict({write(1)}, data(1)), "");
  EXPECT_EQ(verdict({}, data(7)), "");
}

TEST(Survival, AFlushCoversWhatWasAcknowledgedBefore) {
  EXPECT_EQ(verdict({write(1), flush()}, data(1)), "");
  EXPECT_EQ(verdict({write(1), flush()}, old), "flush.durable");
  EXPECT_EQ(verdict({write(1), flush()}, {}), "flush.durable");
  EXPECT_EQ(verdict({write(1), write(2), flush()}, data(1)), "flush.durable");
  EXPECT_EQ(verdict({op(OpKind::zero), flush()}, filled(std::byte{0})), "");
  EXPECT_EQ(verdict({op(OpKind::zero), flush()}, old), "flush.durable");
}

TEST(Survival, WhatFailedPromisesNothing) {
  EXPECT_EQ(verdict({write(1), flush()}, old, {}, 1), "");
  EXPECT_EQ(verdict({write(1), flush()}, old, {}, 0), "");
}

TEST(Survival, WhatCameLaterMayBeThereInPart) {
  auto mixed = data(1);
  std::copy_n(data(2).begin(), 100, mixed.begin());
  EXPECT_EQ(verdict({write(1), flush(), write(2)}, mixed), "");
  std::copy_n(old.begin(), 10, mixed.begin() + 200);
  EXPECT_EQ(verdict({write(1), flush(), write(2)}, mixed), "flush.durable");
}

TEST(Survival, ATrimMayLeaveAnything) {
  EXPECT_EQ(verdict({write(1), flush(), op(OpKind::trim)}, filled(std::byte{1})), "");
  EXPECT_EQ(verdict({write(1), op(OpKind::trim), flush()}, old), "");
  EXPECT_EQ(verdict({op(OpKind::trim), write(1), flush()}, old), "flush.durable");
}

TEST(Survival, FuaIsAPromiseOfItsOwn) {
  EXPECT_EQ(verdict({write(1, command_flag::fua)}, old, {.native_fua = true}), "fua.durable");
  EXPECT_EQ(verdict({write(1, command_flag::fua)}, old), "flush.durable");
  EXPECT_EQ(verdict({write(1, command_flag::fua)}, data(1)), "");
}

TEST(Survival, AnotherConnectionCountsWithMultiConnOnly) {
  EXPECT_EQ(verdict({write(1, 0, 0), flush(1)}, old), "");
  EXPECT_EQ(verdict({write(1, 0, 0), flush(1)}, old, {.multi_conn = true}), "flush.multi-conn");
}

}  // namespace
}  // namespace nbdcheck
