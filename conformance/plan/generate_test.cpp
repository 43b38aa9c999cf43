#include "plan/generate.hpp"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <limits>
#include <set>

namespace nbdcheck {
namespace {

constexpr std::uint64_t largest = std::numeric_limits<std::int64_t>::max();
constexpr Mix everything{.read = 30,
                         .write = 30,
                         .zero = 8,
                         .trim = 8,
                         .flush = 5,
                         .cache = 4,
                         .extents = 6,
                         .reopen = 3};

// What is wrong with `op` for an export like this; "" when nothing.
std::string problem(const Operation& op, const Aim& aim) {
  if (op.connection >= aim.connections) return "connection";
  if (!has_range(op.kind)) return op.offset == 0 && op.count == 0 ? "" : "range";
  if (op.count == 0) return "empty";
  if (op.offset % aim.block != 0 || op.count % aim.block != 0) return "not whole blocks";
  if (op.offset > aim.size || op.count > aim.size - op.offset) return "beyond the end";
  const bool data = op.kind == OpKind::read || op.kind == OpKind::write;
  if (data && op.count > aim.max_request) return "too large";
  std::uint32_t flags = 0;
  if (modifies(op.kind) && aim.can_fua) flags |= command_flag::fua;
  if (op.kind == OpKind::zero) flags |= command_flag::no_hole;
  if (op.kind == OpKind::zero && aim.can_fast_zero) flags |= command_flag::fast_zero;
  if (op.kind == OpKind::extents) flags |= command_flag::req_one;
  if ((op.flags & ~flags) != 0) return "flags";
  if (op.kind != OpKind::write && op.payload != Payload::tags) return "payload";
  return modifies(op.kind) == (op.tag != 0) ? "" : "tag";
}

RC_GTEST_PROP(Generator, KeepsToWhatTheExportPermits, ()) {
  Aim aim;
  aim.block = std::uint64_t{1} << *rc::gen::element(0, 0, 3, 9, 12, 16);
  const auto size = *rc::gen::element<std::uint64_t>(
      1, 2, 511, 512, 513, 4095, 65536, 1'000'003, 1U << 30, (1ULL << 32) + 1, 1ULL << 40, largest);
  aim.size = *rc::gen::element<bool>(true, true, false) ? std::max(size, aim.block) : aim.block;
  aim.max_request = std::max<std::uint64_t>(
      aim.block, *rc::gen::element<std::uint64_t>(512, 65536, 100'000, 32U << 20, 64U << 20));
  aim.can_fua = *rc::gen::arbitrary<bool>();
  aim.can_fast_zero = *rc::gen::arbitrary<bool>();
  aim.connections = *rc::gen::inRange(1U, 5U);
  aim.separate_parts = aim.size / aim.connections / aim.block > 0 && *rc::gen::arbitrary<bool>();
  aim.typical_length = *rc::gen::element<std::uint64_t>(1, 512, 4096, 65536);
  Generator generator(aim, everything, *rc::gen::arbitrary<std::uint64_t>());
  for (int i = 0; i < 400; ++i) {
    const Operation op = generator.next();
    const std::string wrong = problem(op, aim);
    if (!wrong.empty()) RC_FAIL(wrong + ": " + describe(op));
  }
  for (const std::uint64_t anchor : generator.anchors()) RC_ASSERT(anchor <= aim.size);
}

TEST(Generator, TinyAndHugeExports) {
  for (const std::uint64_t size :
       {std::uint64_t{1}, std::uint64_t{511}, std::uint64_t{512}, largest}) {
    for (const std::uint64_t block : {std::uint64_t{1}, std::min<std::uint64_t>(size, 512)}) {
      Aim aim;
      aim.size = size;
      aim.block = block;
      Generator generator(aim, everything, size);
      for (int i = 0; i < 5000; ++i) {
        const Operation op = generator.next();
        ASSERT_EQ(problem(op, aim), "") << describe(op);
      }
    }
  }
}

TEST(Generator, OpensEveryConnectionFirstAndReopensWhatItCloses) {
  Aim aim;
  aim.size = 1 << 20;
  aim.connections = 3;
  Generator generator(aim, everything, 1);
  for (int i = 0; i < 3; ++i) {
    const Operation op = generator.next();
    EXPECT_EQ(op.kind, OpKind::open);
    EXPECT_EQ(op.connection, i);
  }
  int flushed = 0;
  int closed = 0;
  Operation before;
  for (int i = 0; i < 20'000; ++i) {
    const Operation op = generator.next();
    ASSERT_NE(op.kind, OpKind::open);
    if (op.kind == OpKind::close) {
      ++closed;
      if (before.kind == OpKind::flush && before.connection == op.connection) ++flushed;
      const Operation open = generator.next();
      ASSERT_EQ(open.kind, OpKind::open);
      ASSERT_EQ(open.connection, op.connection);
    }
    before = op;
  }
  EXPECT_GT(closed, 300);
  EXPECT_GT(flushed, closed / 2);
  EXPECT_LT(flushed, closed);
}

TEST(Generator, WhatHasNoWeightNeverComes) {
  const std::vector<std::pair<Mix, OpKind>> alone = {
      {{.read = 1}, OpKind::read},       {{.write = 1}, OpKind::write},
      {{.zero = 1}, OpKind::zero},       {{.trim = 1}, OpKind::trim},
      {{.flush = 1}, OpKind::flush},     {{.cache = 1}, OpKind::cache},
      {{.extents = 1}, OpKind::extents}, {{.reopen = 1}, OpKind::close}};
  for (const auto& [mix, kind] : alone) {
    Aim aim;
    aim.size = 1 << 20;
    Generator generator(aim, mix, 1);
    for (int i = 0; i < 1000; ++i) {
      const Operation op = generator.next();
      ASSERT_TRUE(op.kind == kind || op.kind == OpKind::open) << describe(op);
    }
  }
}

TEST(Generator, ATagNamesOneWrite) {
  Aim aim;
  aim.size = 1 << 20;
  Generator generator(aim, everything, 1);
  std::set<std::uint32_t> tags;
  for (int i = 0; i < 20'000; ++i) {
    const Operation op = generator.next();
    ASSERT_TRUE(!modifies(op.kind) || tags.insert(op.tag).second);
  }
}

TEST(Generator, ConnectionsKeepToTheirParts) {
  for (const std::uint64_t size : {std::uint64_t{1000}, std::uint64_t{1} << 20, largest}) {
    Aim aim;
    aim.size = size;
    aim.block = size == 1000 ? 1 : 512;
    aim.connections = 3;
    aim.separate_parts = true;
    Generator generator(aim, everything, 1);
    std::vector<std::uint64_t> first(3, UINT64_MAX);
    std::vector<std::uint64_t> end(3, 0);
    for (int i = 0; i < 20'000; ++i) {
      const Operation op = generator.next();
      ASSERT_EQ(problem(op, aim), "") << describe(op);
      if (!has_range(op.kind)) continue;
      first[op.connection] = std::min(first[op.connection], op.offset);
      end[op.connection] = std::max(end[op.connection], op.offset + op.count);
    }
    EXPECT_EQ(first[0], 0U);
    for (std::size_t i = 0; i < 2; ++i)
      EXPECT_LT(end[i], first[i + 1]) << "there is a gap between them";
    for (std::size_t i = 0; i < 3; ++i)
      EXPECT_GT(end[i] - first[i], size / 5) << "a part is used from end to end";
  }
}

// The places the generator is there to visit, on an export of 1 TiB.
TEST(Generator, VisitsTheBoundaries) {
  Aim aim;
  aim.size = std::uint64_t{1} << 40;
  Generator generator(aim, {.read = 40, .write = 40, .zero = 10, .trim = 10}, 1);
  std::set<std::uint64_t> begins;
  std::set<std::uint64_t> ends;
  std::vector<Operation> all;
  for (int i = 0; i < 20'000; ++i) {
    const Operation op = generator.next();
    if (!has_range(op.kind)) continue;
    begins.insert(op.offset);
    ends.insert(op.offset + op.count);
    all.push_back(op);
  }
  EXPECT_TRUE(begins.contains(0));
  EXPECT_TRUE(begins.contains(aim.size - 1)) << "the last byte alone";
  EXPECT_TRUE(ends.contains(1)) << "the first byte alone";
  EXPECT_TRUE(ends.contains(aim.size));
  EXPECT_TRUE(ends.contains(aim.size - 1));
  int missed = 0;  // of 248
  for (unsigned bit = 9; bit < 40; ++bit) {
    for (const std::uint64_t place :
         {std::uint64_t{1} << bit, aim.size - (std::uint64_t{1} << bit)}) {
      SCOPED_TRACE(place);
      EXPECT_TRUE(begins.contains(place));
      EXPECT_TRUE(ends.contains(place));
      for (const std::uint64_t near : {place - 1, place + 1}) {
        missed += begins.contains(near) ? 0 : 1;
        missed += ends.contains(near) ? 0 : 1;
      }
      EXPECT_TRUE(std::any_of(all.begin(), all.end(), [&](const Operation& op) {
        return op.offset + 1 < place && place + 1 < op.offset + op.count;
      })) << "straddles";
    }
  }
  EXPECT_LE(missed, 3) << "one byte beside a boundary";
}

TEST(Generator, ComesBackToWhatWasWritten) {
  Aim aim;
  aim.size = std::uint64_t{1} << 40;
  Generator generator(aim, {.read = 50, .write = 50}, 1);
  std::vector<Operation> writes;
  int same = 0, overlapping = 0, touching = 0, reads = 0;
  for (int i = 0; i < 5000; ++i) {
    const Operation op = generator.next();
    if (op.kind == OpKind::write) writes.push_back(op);
    if (op.kind != OpKind::read) continue;
    ++reads;
    for (const Operation& w : writes) {
      if (w.offset == op.offset && w.count == op.count) ++same;
      if (op.offset < w.offset + w.count && w.offset < op.offset + op.count) {
        ++overlapping;
        break;
      }
      if (op.offset == w.offset + w.count || w.offset == op.offset + op.count) ++touching;
    }
  }
  EXPECT_GT(same, reads / 100);
  EXPECT_GT(overlapping, reads / 2);
  EXPECT_GT(touching, reads / 50);
}

// A seed in a bug report must mean the same operations for good.  A change
// here is deliberate: it makes --seed of older versions useless.
TEST(Generator, ASeedMeansTheSameOperations) {
  Aim aim;
  aim.size = 1'000'000'007;
  aim.can_fua = aim.can_fast_zero = true;
  aim.connections = 2;
  Generator generator(aim, everything, 42);
  std::uint64_t hash = 0xcbf29ce484222325ULL;
  const auto add = [&](std::uint64_t n) { hash = (hash ^ n) * 0x100000001b3ULL; };
  for (int i = 0; i < 5000; ++i) {
    const Operation op = generator.next();
    add(static_cast<std::uint64_t>(op.kind));
    add(static_cast<std::uint64_t>(op.payload));
    add(op.connection);
    add(op.flags);
    add(op.count);
    add(op.offset);
    add(op.tag);
  }
  EXPECT_EQ(hash, 8728877885716682578ULL) << "golden";
  Generator other(aim, everything, 43);
  Generator again(aim, everything, 42);
  int different = 0;
  for (int i = 0; i < 100; ++i) different += other.next() == again.next() ? 0 : 1;
  EXPECT_GT(different, 50);
}

}  // namespace
}  // namespace nbdcheck
