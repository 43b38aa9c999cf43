#include "execute/second_look.hpp"

#include <gtest/gtest.h>

#include <cerrno>
#include <vector>

#include "execute/extent_map.hpp"
#include "execute/fake_target.hpp"
#include "execute/sequence.hpp"

namespace nbdcheck {
namespace {

using testing::FakeTarget;
using testing::Fault;

Operation on(OpKind kind, std::uint64_t offset, std::uint32_t count, std::uint8_t flags = 0) {
  Operation op{.kind = kind, .flags = flags};
  op.offset = offset;
  op.count = count;
  return op;
}

std::string rule_of(const std::optional<Violation>& violation) {
  return violation ? violation->rule : "";
}

// A plugin that is one function, and what was asked of it.
struct Plugin {
  std::function<int(const Operation&)> answer;
  std::vector<Operation> asked = {};
  Asker asker{[this](const Operation& op) {
                asked.push_back(op);
                return answer(op);
              },
              [] { return std::string("no"); }};
};

TEST(Zero, OtherErrnosThanThoseThatDecline) {
  for (const int error : {EINVAL, EIO, ENOTTY}) {
    Plugin plugin{[&](const Operation& op) { return op.kind == OpKind::zero ? error : 0; }};
    EXPECT_EQ(rule_of(look_at_zero(on(OpKind::zero, 0, 512), true, plugin.asker)),
              "zero.decline-errno");
  }
}

TEST(Zero, ABadPlaceIsNoFault) {
  Plugin plugin{[](const Operation&) { return EIO; }};
  EXPECT_EQ(rule_of(look_at_zero(on(OpKind::zero, 0, 512), true, plugin.asker)), "");
}

TEST(Zero, FastOnesDeclineByTwoErrnos) {
  int error = EINVAL;
  Plugin plugin{
      [&](const Operation& op) { return (op.flags & command_flag::fast_zero) != 0 ? error : 0; }};
  const Operation zero = on(OpKind::zero, 0, 512, command_flag::fast_zero);
  EXPECT_EQ(rule_of(look_at_zero(zero, true, plugin.asker)), "zero.fast-errno");
  error = EOPNOTSUPP;
  EXPECT_EQ(rule_of(look_at_zero(zero, true, plugin.asker)), "");
  error = EINVAL;
  EXPECT_EQ(rule_of(look_at_zero(zero, false, plugin.asker)), "");
}

TEST(Trim, SaysNotThatItIsNotSupported) {
  int error = EOPNOTSUPP;
  Plugin plugin{[&](const Operation&) { return error; }};
  EXPECT_EQ(rule_of(look_at_trim(on(OpKind::trim, 0, 512), plugin.asker)), "trim.errno");
  error = EIO;
  EXPECT_EQ(rule_of(look_at_trim(on(OpKind::trim, 0, 512), plugin.asker)), "");
}

TEST(LastBlock, IsServedLikeTheOneBefore) {
  Plugin plugin{[](const Operation& op) { return op.offset + op.count == 1000 ? EIO : 0; }};
  for (const OpKind kind : {OpKind::read, OpKind::write})
    EXPECT_EQ(rule_of(look_at_last_block(kind, 1000, 1, plugin.asker)), "data.last-byte");
  EXPECT_EQ(rule_of(look_at_last_block(OpKind::read, 999, 1, plugin.asker)), "");
  // A pool that is full there.
  EXPECT_EQ(rule_of(look_at_last_block(OpKind::write, 4097, 1, Plugin{[](const Operation& op) {
                                                                 return op.offset == 4096 ? ENOSPC
                                                                                          : 0;
                                                               }}.asker)),
            "");
}

TEST(Whole, FailsNotWhereItsHalvesDoNot) {
  Plugin limited{[](const Operation& op) { return op.count > 4096 ? EINVAL : 0; }};
  for (const OpKind kind : {OpKind::read, OpKind::write}) {
    EXPECT_EQ(rule_of(look_at_whole(on(kind, 512, 8192), 512, limited.asker)),
              "data.no-needless-error");
    EXPECT_EQ(rule_of(look_at_whole(on(kind, 512, 4096), 512, limited.asker)), "");
    EXPECT_EQ(rule_of(look_at_whole(on(kind, 512, 512), 512, limited.asker)), "");
  }
  for (const Operation& op : limited.asked) EXPECT_EQ(op.count % 512, 0U);
}

TEST(Whole, ABadPlaceIsNoFault) {
  Plugin plugin{[](const Operation& op) {
    return op.offset <= 6000 && op.offset + op.count > 6000 ? EIO : 0;
  }};
  EXPECT_EQ(rule_of(look_at_whole(on(OpKind::read, 0, 8192), 1, plugin.asker)), "");
}

TEST(Whole, APluginThatFailsNowAndThenIsNotBlamed) {
  for (unsigned every = 2; every < 20; ++every)
    for (unsigned first = 0; first < every; ++first) {
      unsigned count = first;
      Plugin plugin{[&](const Operation&) { return ++count % every == 0 ? EIO : 0; }};
      EXPECT_EQ(rule_of(look_at_whole(on(OpKind::read, 0, 8192), 1, plugin.asker)), "")
          << every << ' ' << first;
    }
}

TEST(LookAgain, GoesByWhatIsAnnounced) {
  ExportInfo info;
  info.size = 1U << 20;
  Plugin limited{[](const Operation& op) { return op.count > 4096 ? EINVAL : 0; }};
  const Operation read = on(OpKind::read, 0, 8192);
  EXPECT_EQ(rule_of(look_again(read, info, 1, limited.asker)), "data.no-needless-error");
  info.block_size = BlockSize{1, 512, 4096};
  EXPECT_EQ(rule_of(look_again(read, info, 1, limited.asker)), "");
  Plugin no_zero{[](const Operation& op) { return op.kind == OpKind::zero ? EINVAL : 0; }};
  EXPECT_EQ(rule_of(look_again(on(OpKind::zero, 0, 512), info, 1, no_zero.asker)), "");
  info.zero = zero_native;
  EXPECT_EQ(rule_of(look_again(on(OpKind::zero, 0, 512), info, 1, no_zero.asker)),
            "zero.decline-errno");
}

TEST(LastBlock, WhoFailsEverySoManyTimesIsNotBlamed) {
  for (const unsigned period : {2U, 3U, 4U}) {
    unsigned count = 0;
    Plugin plugin{[&](const Operation&) { return count++ % period == 0 ? EIO : 0; }};
    EXPECT_EQ(rule_of(look_at_last_block(OpKind::read, 1000, 1, plugin.asker)), "") << period;
  }
}

// --- in a sequence ---------------------------------------------------------------

std::string found_by(Fault fault, const Operation& op, bool second_look) {
  FakeTarget target(fault, 1U << 20);
  SequenceOptions options;
  options.second_look = second_look;
  SequenceRunner runner(target, target.subject(), options);
  for (const Operation& one : {Operation{.kind = OpKind::open}, op})
    if (const auto violation = runner.step(one)) {
      EXPECT_TRUE(takes_second_look(violation->rule)) << violation->rule;
      return violation->rule;
    }
  return "";
}

TEST(Sequence, LooksAgainWhenAsked) {
  const std::vector<std::tuple<Fault, Operation, std::string>> faults = {
      {Fault::refuses_long, on(OpKind::read, 0, 8192), "data.no-needless-error"},
      {Fault::refuses_long, on(OpKind::write, 0, 8192), "data.no-needless-error"},
      {Fault::changes_buffers, on(OpKind::write, 100, 512), "data.buffer-modified"},
      {Fault::fickle_extents, on(OpKind::extents, 0, 65536), "extents.stable"},
      {Fault::coarse_extents, on(OpKind::extents, 65536, 1U << 19), "extents.stable"},
  };
  for (const auto& [fault, op, rule] : faults) {
    EXPECT_EQ(found_by(fault, op, true), rule);
    EXPECT_EQ(found_by(fault, op, false), "") << rule;
    EXPECT_EQ(found_by(Fault::none, op, true), "") << rule;
    EXPECT_EQ(found_by(Fault::everything_fails, op, true), "") << rule;
  }
}

TEST(Sequence, WhatIsAskedMeanwhileIsEnteredToo) {
  FakeTarget target(Fault::refuses_long, 1U << 20);
  SequenceOptions options;
  options.second_look = true;
  SequenceRunner runner(target, target.subject(), options);
  EXPECT_FALSE(runner.step({.kind = OpKind::open}));
  Operation long_write = on(OpKind::write, 0, 8192);
  long_write.tag = 1;
  ASSERT_TRUE(runner.step(long_write));
  EXPECT_FALSE(runner.step(on(OpKind::read, 0, 4096)));
}

}  // namespace
}  // namespace nbdcheck
