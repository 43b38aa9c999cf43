#include <gtest/gtest.h>

#include <set>

#include "checks/step_pairs.hpp"
#include "checks/step_words.hpp"

namespace nbdcheck {
namespace {

Subject subject(std::uint64_t size) {
  Subject subject;
  subject.thread_model = ThreadModel::parallel;
  subject.info.size = size;
  subject.info.can_write = true;
  subject.info.can_flush = true;
  subject.info.can_trim = true;
  subject.info.zero = zero_native;
  subject.info.can_extents = true;
  return subject;
}

TEST(StepPairs, StayInsideOfTheExport) {
  for (const std::uint64_t size :
       {32768ULL, 40000ULL, 1ULL << 20, 1000001ULL, 1ULL << 30, (1ULL << 63) - 1}) {
    const Subject of = subject(size);
    const StepSpace space = step_space(of);
    ASSERT_GT(space.areas, 0u) << size;
    for (const StepPair& pair : step_pairs(of, space)) {
      for (const StepRequest& request : {pair.a, pair.b}) {
        const std::uint64_t start = (space.areas - 1) * space.span;
        const std::uint64_t begin =
            !request.far ? start : space.far + (request.count > space.span ? 0 : start);
        EXPECT_LE(begin + request.offset + request.count, size) << pair.text();
        if (!request.far) {
          EXPECT_LE(request.offset + request.count, space.span) << pair.text();
        }
      }
    }
  }
  EXPECT_EQ(step_space(subject(20000)).areas, 0u);
  EXPECT_EQ(step_space(subject(0)).areas, 0u);
}

TEST(StepPairs, AskOnlyForWhatThereIs) {
  Subject of = subject(1 << 20);
  of.info.can_write = false;
  of.info.can_extents = false;
  for (const StepPair& pair : step_pairs(of, step_space(of))) {
    EXPECT_FALSE(modifies(pair.a.kind) || modifies(pair.b.kind)) << pair.text();
    EXPECT_NE(pair.a.kind, OpKind::extents);
  }
}

TEST(StepPairs, OneConnectionHasOneRequestWhereTheModelSaysSo) {
  Subject of = subject(1 << 20);
  of.thread_model = ThreadModel::serialize_requests;
  for (const StepPair& pair : step_pairs(of, step_space(of))) EXPECT_TRUE(pair.two_handles);
}

TEST(StepPairs, WholeBlocksWhereTheyAreLarge) {
  Subject of = subject(64 << 20);
  of.info.block_size = BlockSize{4096, 4096, 0xffffffff};
  const StepSpace space = step_space(of);
  for (const StepPair& pair : step_pairs(of, space)) {
    for (const StepRequest& request : {pair.a, pair.b}) {
      EXPECT_EQ(request.offset % 4096, 0u) << pair.text();
      EXPECT_EQ(request.count % 4096, 0u) << pair.text();
    }
  }
  EXPECT_EQ(space.span % 4096, 0u);
  EXPECT_EQ(space.far % 4096, 0u);
}

TEST(StepPairs, NoRequestIsLongerThanWhatIsAnnounced) {
  Subject of = subject(1 << 20);
  of.info.block_size = BlockSize{1, 512, 10000};
  const StepSpace space = step_space(of);
  EXPECT_EQ(space.longest, 8192u);
  EXPECT_FALSE(step_pairs(of, space).empty());
  for (const StepPair& pair : step_pairs(of, space))
    for (const StepRequest& request : {pair.a, pair.b})
      EXPECT_LE(request.count, 10000u) << pair.text();
  of.info.block_size->maximum = 4096;
  EXPECT_EQ(step_space(of).areas, 0u);
}

TEST(StepWords, SurviveTheWay) {
  Meeting meeting;
  meeting.requests = {"write(offset=0, count=512)", "flush"};
  meeting.area = 7;
  meeting.clash = Clash{Clash::Kind::torn_sector, "message", "expected", "actual"};
  StepTold before = told_of(meeting, "here");
  before.schedule = "pair=1 area=2 point=3 pass=4";
  const auto told = told_from_line(to_line(before));
  ASSERT_TRUE(told.has_value());
  EXPECT_EQ(told->what, StepTold::What::torn_sector);
  EXPECT_EQ(told->schedule, before.schedule);
  EXPECT_EQ(told->b, "flush");
  EXPECT_EQ(told->place, "here");
  EXPECT_EQ(told->area, 7u);
  const Violation v = violation_of(*told, {});
  EXPECT_EQ(v.rule, "concurrency.torn-sector");
  EXPECT_EQ(v.expected, "expected");
  EXPECT_NE(v.details[2].find("here"), std::string::npos);
}

TEST(StepWords, AHangIsOneAndSaysWhoWaits) {
  Meeting meeting;
  meeting.outcome.b_stuck = true;
  const auto told = told_from_line(to_line(told_of(meeting, "")));
  ASSERT_TRUE(told.has_value());
  const Violation v = violation_of(*told, {"who waits"});
  EXPECT_EQ(v.rule, "process.hang");
  EXPECT_NE(v.message.find("B never ends"), std::string::npos);
  EXPECT_EQ(v.details.back(), "who waits");
}

TEST(StepWords, ChanceIsSaid) {
  StepTold told;
  const std::size_t lines = violation_of(told, {}).details.size();
  told.by_chance = true;
  const Violation v = violation_of(told, {});
  ASSERT_EQ(v.details.size(), lines + 1);
  EXPECT_NE(v.details.back().find("explores all"), std::string::npos);
}

// A plugin has the pipe, too.
TEST(StepWords, AScheduleIsReadAsItWasWritten) {
  const StepSchedule schedule{67, 3, 0x123456789, 4};
  const auto again = schedule_from_text(to_text(schedule));
  ASSERT_TRUE(again.has_value());
  EXPECT_EQ(again->pair, schedule.pair);
  EXPECT_EQ(again->area, schedule.area);
  EXPECT_EQ(again->point, schedule.point);
  EXPECT_EQ(again->pass, schedule.pass);
  for (const char* bad :
       {"", "pair=1", "pair=1 area=2 point=3 pass=", "pair=1 area=2 point=3 pass=4 ",
        "pair=-1 area=2 point=3 pass=4", "pair=1 area=2 point=3 pass=4294967296"})
    EXPECT_FALSE(schedule_from_text(bad).has_value()) << bad;
}

TEST(StepWords, WhatIsNotOneOfTheirsIsNothing) {
  EXPECT_FALSE(told_from_line("").has_value());
  EXPECT_FALSE(told_from_line("told").has_value());
  EXPECT_FALSE(told_from_line(std::string(100, '\x1f')).has_value());
  EXPECT_EQ(text_after("opaque", word_line("opaque", "why")), "why");
  EXPECT_FALSE(text_after("opaque", word_line("deadlock", "why")).has_value());
  auto line = to_line(told_of({}, ""));
  line[5] = '9';
  EXPECT_EQ(told_from_line(line)->what, StepTold::What::stuck);
}

}  // namespace
}  // namespace nbdcheck
