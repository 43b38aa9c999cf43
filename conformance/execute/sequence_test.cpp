#include "execute/sequence.hpp"

#include <gtest/gtest.h>

#include "execute/fake_target.hpp"
#include "plan/generate.hpp"

namespace nbdcheck {
namespace {

using testing::FakeTarget;
using testing::Fault;

Operation on(OpKind kind, std::uint64_t offset = 0, std::uint32_t count = 0, std::uint8_t c = 0) {
  static std::uint32_t tag = 0;
  Operation op{.kind = kind, .connection = c};
  op.offset = offset;
  op.count = count;
  op.tag = ++tag;
  return op;
}

// The rule that the first violation of `operations` names; "" when there is none.
std::string rule_of(Fault fault, const std::vector<Operation>& operations,
                    const SequenceOptions& options = {}) {
  FakeTarget target(fault);
  SequenceRunner runner(target, target.subject(), options);
  for (const Operation& op : operations)
    if (const auto violation = runner.step(op)) {
      EXPECT_FALSE(violation->message.empty());
      return violation->rule;
    }
  return "";
}

const std::vector<Operation> write_and_read = {on(OpKind::open), on(OpKind::write, 512, 512),
                                               on(OpKind::read, 512, 512)};

TEST(SequenceRunner, ACorrectTargetIsNeverBlamed) {
  for (const bool lanes : {false, true}) {
    FakeTarget target(Fault::none);
    SequenceOptions options;
    options.lanes = lanes;
    options.rules.multi_conn = lanes;
    SequenceRunner runner(target, target.subject(), options);
    Aim aim;
    aim.size = target.subject().info.size;
    aim.connections = lanes ? 3 : 1;
    Generator generator(aim,
                        {.read = 40,
                         .write = 30,
                         .zero = 8,
                         .trim = 5,
                         .flush = 5,
                         .cache = 2,
                         .extents = 5,
                         .reopen = 3},
                        1);
    for (int i = 0; i < 1000; ++i) {
      const Operation op = generator.next();
      const auto violation = runner.step(op);
      ASSERT_FALSE(violation) << describe(op) << violation->message;
    }
    EXPECT_EQ(runner.failed(), 0U);
    EXPECT_EQ(runner.succeeded(), 1000U);
    EXPECT_EQ(runner.operations(), 1000U);
    runner.close_all();
    EXPECT_FALSE(runner.is_open(0));
    for (const std::thread::id id : target.threads)
      EXPECT_EQ(id != std::this_thread::get_id(), lanes);
  }
}

TEST(SequenceRunner, EachFaultGetsItsRule) {
  EXPECT_EQ(rule_of(Fault::lost_write, write_and_read), "data.read-your-writes");
  EXPECT_EQ(rule_of(Fault::unfilled_read, write_and_read), "data.buffer-filled");
  EXPECT_EQ(
      rule_of(Fault::writes_behind, {on(OpKind::open), on(OpKind::write, 1024, 512),
                                     on(OpKind::write, 512, 512), on(OpKind::read, 1024, 512)}),
      "data.nothing-outside");
  EXPECT_EQ(rule_of(Fault::zero_does_nothing, {on(OpKind::open), on(OpKind::write, 0, 512),
                                               on(OpKind::zero, 0, 512), on(OpKind::read, 0, 512)}),
            "zero.reads-zero");
  EXPECT_EQ(rule_of(Fault::lying_extents,
                    {on(OpKind::open), on(OpKind::write, 0, 512), on(OpKind::extents, 0, 4096)}),
            "extents.no-lie");
  EXPECT_EQ(
      rule_of(Fault::lying_unwritten_extents, {on(OpKind::open), on(OpKind::extents, 0, 4096)}),
      "extents.no-lie")
      << "what nobody wrote is read to see";
  EXPECT_EQ(rule_of(Fault::failing_extents, {on(OpKind::open), on(OpKind::extents, 0, 4096)}),
            "extents.no-error");
  EXPECT_EQ(rule_of(Fault::forgets_on_close,
                    {on(OpKind::open), on(OpKind::write, 0, 512), on(OpKind::flush),
                     on(OpKind::close), on(OpKind::open), on(OpKind::read, 0, 512)}),
            "handle.persistence");
}

TEST(SequenceRunner, ContentsThatChangeByThemselves) {
  const std::vector<Operation> reads = {on(OpKind::open), on(OpKind::read, 0, 512),
                                        on(OpKind::read, 0, 512)};
  EXPECT_EQ(rule_of(Fault::unstable_contents, reads), "data.stable-contents");
  SequenceOptions options;
  options.judge_unwritten = false;
  EXPECT_EQ(rule_of(Fault::unstable_contents, reads, options), "");
  options = {};
  options.judge_contents = false;
  EXPECT_EQ(rule_of(Fault::unstable_contents, reads, options), "");
  EXPECT_EQ(rule_of(Fault::lost_write, write_and_read, options), "");
}

TEST(SequenceRunner, ErrorsAreAnswersAndNoFault) {
  FakeTarget target(Fault::everything_fails);
  SequenceRunner runner(target, target.subject(), {});
  for (const Operation& op : write_and_read) EXPECT_FALSE(runner.step(op));
  EXPECT_EQ(runner.succeeded(), 1U) << "the open";
  EXPECT_EQ(runner.failed(), 2U);
  EXPECT_EQ(runner.history().back().error, EIO);
}

TEST(SequenceRunner, AnOpenThatFailsIsTold) {
  FakeTarget target(Fault::refuses_to_open);
  SequenceRunner runner(target, target.subject(), {});
  EXPECT_FALSE(runner.step(on(OpKind::open)));
  EXPECT_EQ(runner.open_failure(), "no such export");
  EXPECT_FALSE(runner.is_open(0));
  EXPECT_FALSE(runner.step(on(OpKind::read, 0, 512)));
  EXPECT_EQ(runner.operations(), 1U) << "nothing runs on what is not open";
}

TEST(SequenceRunner, WhatMakesNoSenseIsSkipped) {
  FakeTarget target(Fault::none, 4096);
  SequenceRunner runner(target, target.subject(), {});
  for (const Operation& op :
       {on(OpKind::close), on(OpKind::flush), on(OpKind::write, 0, 1, 9), on(OpKind::open),
        on(OpKind::open), on(OpKind::read, 0, 0), on(OpKind::read, 4096, 1),
        on(OpKind::write, 4095, 2), on(OpKind::read, UINT64_MAX, 512)})
    EXPECT_FALSE(runner.step(op)) << describe(op);
  EXPECT_EQ(runner.operations(), 1U) << "the open";
}

}  // namespace
}  // namespace nbdcheck
