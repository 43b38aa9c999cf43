#include "execute/readable.hpp"

#include <gtest/gtest.h>

#include "execute/fake_target.hpp"
#include "execute/sequence.hpp"

namespace nbdcheck {
namespace {

using testing::FakeTarget;
using testing::Fault;

std::vector<std::uint64_t> offsets(const std::vector<Readable::Range>& ranges) {
  std::vector<std::uint64_t> result;
  for (const auto& range : ranges) result.push_back(range.offset);
  return result;
}

using Offsets = std::vector<std::uint64_t>;

TEST(Readable, WhatWasReadAndChanged) {
  Readable readable(1 << 20, 1);
  readable.was_read(0, 2048);
  EXPECT_EQ(offsets(readable.changed(0, 1 << 20, 9)), Offsets{});
  readable.was_changed(700, 1);
  readable.was_changed(4096, 4096);  // was not read
  EXPECT_EQ(offsets(readable.changed(0, 1 << 20, 9)), Offsets{512});
  EXPECT_EQ(offsets(readable.changed(513, 1 << 20, 9)), Offsets{}) << "not whole in the range";
  readable.was_read(4096, 4096);
  EXPECT_EQ(offsets(readable.changed(0, 1 << 20, 9)), Offsets{512})
      << "changed before it was read: nobody knows";
  readable.forget(0, 513);
  EXPECT_EQ(offsets(readable.changed(0, 1 << 20, 9)), Offsets{});
}

TEST(Readable, PartsOfSectorsAreNotRead) {
  Readable readable(1 << 20, 1);
  readable.was_read(1, 1023);
  readable.was_changed(0, 1 << 20);
  EXPECT_EQ(offsets(readable.changed(0, 1 << 20, 9)), Offsets{512});
}

TEST(Readable, TheLastSectorMayBeShort) {
  Readable readable(1000, 1);
  readable.was_read(0, 1000);
  readable.was_changed(999, 1);
  const auto found = readable.changed(0, 1000, 9);
  ASSERT_EQ(offsets(found), Offsets{512});
  EXPECT_EQ(found[0].count, 488u);
}

TEST(Readable, AcrossGroupsAndHugeRanges) {
  constexpr std::uint64_t size = std::uint64_t{1} << 50;
  Readable readable(size, 4096);
  constexpr std::uint64_t far = size - 4096;
  for (const std::uint64_t offset : {std::uint64_t{63} * 4096, far})
    readable.was_read(offset, 8192);
  readable.was_changed(0, size);
  EXPECT_EQ(offsets(readable.changed(63 * 4096, 8192, 9)), (Offsets{63 * 4096, 64 * 4096}));
  EXPECT_EQ(offsets(readable.changed(far, 4096, 9)), Offsets{far});
  readable.forget(64 * 4096, size - 64 * 4096);
  EXPECT_EQ(offsets(readable.changed(0, 100 * 4096, 9)), Offsets{63 * 4096});
}

TEST(Readable, OthersAreNotTheOnes) {
  Readable readable(1 << 20, 1);
  readable.was_read(0, 1024);
  readable.was_read(1 << 19, 512);
  readable.was_changed(0, 512);
  EXPECT_EQ(offsets(readable.others(0, 1024, 9)), (Offsets{512, 1 << 19}));
  EXPECT_EQ(offsets(readable.others(512, 512, 9)), (Offsets{0, 512, 1 << 19}));
  EXPECT_EQ(readable.others(0, 1, 1).size(), 1u);
}

// --- in a sequence ---------------------------------------------------------------

Operation on(OpKind kind, std::uint64_t offset, std::uint32_t count, std::uint32_t tag = 0) {
  Operation op{.kind = kind};
  op.offset = offset;
  op.count = count;
  op.tag = tag;
  return op;
}

std::string found_in(Fault fault, const std::vector<Operation>& operations) {
  FakeTarget target(fault, 1U << 20);
  SequenceOptions options;
  options.watch_reads = true;
  SequenceRunner runner(target, target.subject(), options);
  EXPECT_FALSE(runner.step({.kind = OpKind::open}));
  for (const Operation& op : operations)
    if (const auto violation = runner.step(op)) return violation->rule;
  return "";
}

const std::vector<Operation> in_order = {
    on(OpKind::read, 0, 65536),
    on(OpKind::write, 8192, 4096, 1),
    on(OpKind::zero, 8192, 100),
    on(OpKind::read, 0, 65536),
};

TEST(Sequence, WhatCannotBeReadAfterAChange) {
  EXPECT_EQ(found_in(Fault::none, in_order), "");
  EXPECT_EQ(found_in(Fault::zero_ruins_sector, in_order), "data.readable");
}

TEST(Sequence, WhatNobodyCouldReadBefore) {
  const std::vector<Operation> operations(in_order.begin() + 1, in_order.end());
  EXPECT_EQ(found_in(Fault::zero_ruins_sector, operations), "") << "it may be a bad sector";
  EXPECT_EQ(found_in(Fault::bad_sector, in_order), "");
}

TEST(Sequence, WhatFailsNowAndThen) {
  for (const Fault fault : {Fault::every_third_read, Fault::every_fourth_read}) {
    std::vector<Operation> operations;
    for (int i = 0; i < 20; ++i)
      operations.insert(operations.end(), in_order.begin(), in_order.end());
    EXPECT_EQ(found_in(fault, operations), "");
  }
}

TEST(Sequence, WhenNothingCanBeReadAnyMore) {
  EXPECT_EQ(found_in(Fault::gone_after_zero, in_order), "") << "the network may be down";
}

TEST(Sequence, WhatWasTrimmedMayBeGone) {
  std::vector<Operation> operations = in_order;
  operations.insert(operations.begin() + 3, on(OpKind::trim, 8192, 512));
  EXPECT_EQ(found_in(Fault::zero_ruins_sector, operations), "");
}

}  // namespace
}  // namespace nbdcheck
