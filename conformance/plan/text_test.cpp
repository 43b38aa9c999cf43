#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "plan/names.hpp"
#include "plan/plan.hpp"

namespace nbdcheck {
namespace {

rc::Gen<Operation> any_operation(std::uint32_t tag) {
  return rc::gen::exec([tag] {
    Operation op;
    op.kind = *rc::gen::elementOf(plan_words::kinds);
    op.connection = *rc::gen::arbitrary<std::uint8_t>();
    op.flags = *rc::gen::arbitrary<std::uint8_t>();
    if (has_range(op.kind)) {
      const bool data = op.kind == OpKind::read || op.kind == OpKind::write;
      op.count = *rc::gen::inRange<std::uint32_t>(0, data ? max_request_size + 1 : UINT32_MAX);
      op.offset = *rc::gen::inRange<std::uint64_t>(0, (std::uint64_t{1} << 63) - op.count);
    }
    if (modifies(op.kind)) op.tag = tag;
    if (op.kind == OpKind::write) {
      op.payload = *rc::gen::element(Payload::tags, Payload::zeroes, Payload::ones);
    }
    return op;
  });
}

rc::Gen<Plan> any_plan() {
  return rc::gen::exec([] {
    Plan plan;
    plan.check = *rc::gen::element<std::string>("data.random", "zero", "extents.a-b");
    plan.rule = *rc::gen::element<std::string>("", "data.read-your-writes");
    plan.plugin = *rc::gen::arbitrary<std::string>();
    plan.arguments = *rc::gen::arbitrary<std::vector<std::string>>();
    plan.sha256 = *rc::gen::element(std::string(), std::string(64, 'a'));
    plan.export_name = *rc::gen::arbitrary<std::string>();
    plan.readonly = *rc::gen::arbitrary<bool>();
    plan.seed = *rc::gen::arbitrary<std::uint64_t>();
    plan.buffers =
        *rc::gen::element(BufferMode::direct, BufferMode::guarded, BufferMode::guarded_odd);
    const auto count = *rc::gen::inRange<std::uint32_t>(0, 20);
    for (std::uint32_t i = 0; i < count; ++i) {
      plan.operations.push_back(*any_operation(UINT32_MAX - i));
    }
    return plan;
  });
}

RC_GTEST_PROP(PlanText, ComesBackTheSame, ()) {
  const Plan plan = *any_plan();
  const auto back = plan_from_text(to_text(plan));
  RC_ASSERT(back.has_value());
  RC_ASSERT(*back == plan);
}

RC_GTEST_PROP(PlanText, EveryTruncationIsNoticed, ()) {
  const std::string text = to_text(*any_plan());
  // The newline after `end` may go.
  const auto length = *rc::gen::inRange<std::size_t>(0, text.size() - 1);
  RC_ASSERT(!plan_from_text(text.substr(0, length)).has_value());
}

RC_GTEST_PROP(PlanText, DamageIsAnErrorOrAnotherPlan, ()) {
  std::string text = to_text(*any_plan());
  const auto edits = *rc::gen::inRange(1, 5);
  for (int i = 0; i < edits; ++i) {
    text.at(*rc::gen::inRange<std::size_t>(0, text.size())) = *rc::gen::arbitrary<char>();
  }
  const auto back = plan_from_text(text);
  if (back) RC_ASSERT(plan_from_text(to_text(*back)).value() == *back);
  if (!back) RC_ASSERT(back.error().starts_with("line "));
}

TEST(PlanText, ReadsAsDocumented) {
  Plan plan;
  plan.check = "data.random";
  plan.rule = "data.read-your-writes";
  plan.plugin = "./libmy plugin.so";
  plan.arguments = {"size=1G", "text=two\nlines\xFF"};
  plan.seed = 42;
  plan.buffers = BufferMode::guarded_odd;
  Operation write{OpKind::write, Payload::zeroes, 0, 0, 512, 4096, 7};
  write.flags = command_flag::fua | command_flag::no_hole;
  plan.operations = {{OpKind::open, Payload::tags, 1, 0, 0, 0, 0}, write};
  EXPECT_EQ(to_text(plan),
            "nbdcheck-plan 1\n"
            "plugin ./libmy plugin.so\n"
            "arg size=1G\n"
            "arg text=two\\nlines\\xff\n"
            "check data.random\n"
            "rule data.read-your-writes\n"
            "export\n"
            "readonly no\n"
            "seed 42\n"
            "buffers guarded-odd\n"
            "operations 2\n"
            "#1 open\n"
            "#0 write offset=4096 count=512 tag=7 flags=FUA,NO_HOLE payload=zeroes\n"
            "end\n");
}

TEST(PlanText, ThreadsAndRoundsMakeItAnotherVersion) {
  Plan plan;
  plan.plugin = "memory";
  plan.check = "concurrency.stress";
  plan.operations = {{.kind = OpKind::open}, {.kind = OpKind::flush}, {.kind = OpKind::flush}};
  EXPECT_FALSE(concurrent(plan.operations));
  EXPECT_TRUE(to_text(plan).starts_with("nbdcheck-plan 1\n"));
  plan.operations[1].thread = 3;
  plan.operations[2].round = 1;
  EXPECT_TRUE(concurrent(plan.operations));
  const std::string text = to_text(plan);
  EXPECT_TRUE(text.starts_with("nbdcheck-plan 2\n")) << text;
  EXPECT_TRUE(text.ends_with("#0 open\n#0 flush thread=3\n#0 flush round=1\nend\n")) << text;
  const auto again = plan_from_text(text);
  ASSERT_TRUE(again.has_value()) << again.error();
  EXPECT_EQ(*again, plan);
}

TEST(PlanText, AScheduleIsKeptByTheSecondVersion) {
  Plan plan;
  plan.plugin = "memory";
  plan.check = "concurrency.step";
  plan.schedule = "pair=3 area=1 point=77 pass=2";
  const std::string text = to_text(plan);
  EXPECT_TRUE(text.starts_with("nbdcheck-plan 2\n")) << text;
  EXPECT_NE(text.find("\nschedule pair=3 area=1 point=77 pass=2\noperations 0\n"),
            std::string::npos)
      << text;
  const auto again = plan_from_text(text);
  ASSERT_TRUE(again.has_value()) << again.error();
  EXPECT_EQ(*again, plan);
  std::string first = text;
  first.replace(first.find('2'), 1, "1");
  EXPECT_FALSE(plan_from_text(first).has_value());
}

// Whatever a check put into an operation.
TEST(PlanText, WhatIsWrittenCanBeRead) {
  Plan plan;
  plan.plugin = "memory";
  plan.check = "data.isolated";
  for (const OpKind kind : plan_words::kinds)
    plan.operations.push_back({.kind = kind,
                               .payload = Payload::zeroes,
                               .flags = command_flag::fua,
                               .count = 512,
                               .offset = 512,
                               .tag = 4});
  const std::string text = to_text(plan);
  const auto again = plan_from_text(text);
  ASSERT_TRUE(again.has_value()) << again.error() << '\n' << text;
  ASSERT_EQ(again->operations.size(), plan.operations.size());
  for (std::size_t i = 0; i < plan.operations.size(); ++i)
    EXPECT_EQ(again->operations[i].kind, plan.operations[i].kind);
  EXPECT_EQ(to_text(*again), text);
}

TEST(PlanText, AcceptsCommentsBlankLinesAndCrlf) {
  const auto plan = plan_from_text(
      "; by hand\r\nnbdcheck-plan 1\r\n\r\nplugin memory\r\ncheck data.random\r\noperations 1\r\n"
      "; the culprit\r\n#0 flush\r\nend");
  ASSERT_TRUE(plan.has_value()) << plan.error();
  EXPECT_EQ(plan->plugin, "memory");
  EXPECT_EQ(plan->operations.size(), 1U);
}

struct BadPlan {
  std::string_view text;
  std::string_view error;
};

#define HEAD "nbdcheck-plan 1\nplugin p\ncheck c\n"
#define HEAD2 "nbdcheck-plan 2\nplugin p\ncheck c\n"
const BadPlan bad_plans[] = {
    BadPlan{"", "line 1: the file is empty"},
    BadPlan{"\x7f"
            "ELF\x02",
            "line 1: this is not a plan; plans begin with 'nbdcheck-plan 1'"},
    BadPlan{"nbdcheck-plan", "line 1: the version is not a number: ''"},
    BadPlan{"nbdcheck-plan 3\n",
            "line 1: version 3 of the format is not known, only versions 1 and 2"},
    BadPlan{"nbdcheck-plan 1\nplugin p\n", "line 3: the file ends before the line 'operations'"},
    BadPlan{"nbdcheck-plan 1\nplugin p\noperations 0\nend\n",
            "line 3: the line 'check' is missing"},
    BadPlan{HEAD "check c\n", "line 4: second line 'check'"},
    BadPlan{HEAD "colour red\n", "line 4: unknown line 'colour'"},
    BadPlan{HEAD "arg a\\", "line 4: malformed escape in 'a\\'"},
    BadPlan{HEAD "sha256 xyz\n", "line 4: not a SHA-256 sum: 'xyz'"},
    BadPlan{HEAD "rule \x1b[2J\n", "line 4: not a rule name: '\\x1b[2J'"},
    BadPlan{HEAD "readonly maybe\n", "line 4: readonly is yes or no"},
    BadPlan{HEAD "seed -1\n", "line 4: seed is not a number: '-1'"},
    BadPlan{HEAD "seed 18446744073709551616\n",
            "line 4: seed is too large: '18446744073709551616'"},
    BadPlan{HEAD "buffers none\n", "line 4: unknown buffers 'none'"},
    BadPlan{HEAD "operations 10737418240\n",
            "line 4: the number of operations is 10737418240, more than 10000000"},
    BadPlan{HEAD "operations 10000000\n", "line 5: the file ends after 0 of 10000000 operations"},
    BadPlan{HEAD "operations 0\n", "line 5: the file ends before the line 'end'"},
    BadPlan{HEAD "operations 2\n#0 open\nend\n", "line 6: the file ends after 1 of 2 operations"},
    BadPlan{HEAD "operations 0\n#0 open\nend\n", "line 5: expected 'end', found '#0 open'"},
    BadPlan{HEAD "operations 0\nend\nmore\n", "line 6: text after 'end': 'more'"},
    BadPlan{HEAD "operations 1\nread\n",
            "line 5: expected an operation such as '#0 read offset=0 count=512', found "
            "'read'"},
    BadPlan{HEAD "operations 1\n#256 open\n", "line 5: connection is 256, more than 255"},
    BadPlan{HEAD "operations 1\n# open\n", "line 5: connection is not a number: ''"},
    BadPlan{HEAD "operations 1\n#0 format\n", "line 5: unknown operation 'format'"},
    BadPlan{HEAD "operations 1\n#0 read offset=0\n", "line 5: read needs offset= and count="},
    BadPlan{HEAD "operations 1\n#0 read offset=0 count=5000000000\n",
            "line 5: count is 5000000000, more than 4294967295"},
    BadPlan{HEAD "operations 1\n#0 read offset=0 count=67108865\n",
            "line 5: count is 67108865, more than a read may have (67108864)"},
    BadPlan{HEAD "operations 1\n#0 trim offset=9223372036854775807 count=1\n",
            "line 5: offset 9223372036854775807 and count 1 end after the largest export"},
    BadPlan{HEAD "operations 1\n#0 read offset=1 offset=2 count=1\n",
            "line 5: 'offset' is given twice"},
    BadPlan{HEAD "operations 1\n#0 read offset=0x10 count=1\n",
            "line 5: offset is not a number: '0x10'"},
    BadPlan{HEAD "operations 1\n#0 open offset=1\n", "line 5: open takes no 'offset'"},
    BadPlan{HEAD "operations 1\n#0 read offset=0 count=1 payload=ones\n",
            "line 5: read takes no 'payload'"},
    BadPlan{HEAD "operations 1\n#0 flush now\n", "line 5: expected key=value, found 'now'"},
    BadPlan{HEAD "operations 1\n#0 flush flags=FUA,FUA\n", "line 5: flag 'FUA' is given twice"},
    BadPlan{HEAD "operations 1\n#0 flush flags=fua\n", "line 5: unknown flag 'fua'"},
    BadPlan{HEAD "operations 2\n#0 write offset=0 count=1 tag=3\n"
                 "#0 write offset=0 count=1 tag=3\n",
            "line 6: tag 3 was used by the write in line 5"},
    BadPlan{HEAD "operations 1\n#0 flush thread=1\n", "line 5: flush takes no 'thread'"},
    BadPlan{HEAD2 "operations 1\n#0 flush thread=64\n", "line 5: thread is 64, more than 63"},
    BadPlan{HEAD2 "operations 1\n#0 flush round=65536\n",
            "line 5: round is 65536, more than 65535"},
    BadPlan{HEAD2 "operations 2\n#0 flush round=2\n#0 flush round=1\n",
            "line 6: round 1 comes after round 2"}};
#undef HEAD
#undef HEAD2

TEST(PlanText, BadTextIsOneClearError) {
  for (const BadPlan& bad : bad_plans) {
    const auto plan = plan_from_text(bad.text);
    EXPECT_EQ(plan ? "accepted" : plan.error(), bad.error) << bad.text;
  }
}

TEST(Describe, IsACall) {
  Operation op{OpKind::write, Payload::tags, 0, 0, 512, 4096, 7};
  op.flags = command_flag::fua;
  EXPECT_EQ(describe(op), "#0 write(offset=4096, count=512, FUA)");
  op.payload = Payload::zeroes;
  op.flags = 0x40;
  EXPECT_EQ(describe(op), "#0 write(offset=4096, count=512, data=zeroes, 0x40)");
  EXPECT_EQ(describe({OpKind::flush, Payload::tags, 3, 0, 0, 0, 0}), "#3 flush()");
}

TEST(Kinds, AreClassified) {
  EXPECT_TRUE(modifies(OpKind::trim));
  EXPECT_FALSE(modifies(OpKind::cache));
  EXPECT_TRUE(has_range(OpKind::extents));
  EXPECT_FALSE(has_range(OpKind::flush));
}

}  // namespace
}  // namespace nbdcheck
