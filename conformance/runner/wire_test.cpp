#include "runner/wire.hpp"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace nbdcheck {
namespace {

RC_GTEST_PROP(Wire, AFindingComesThrough, ()) {
  ChildEvent event;
  event.kind = ChildEvent::Kind::finding;
  event.finding.rule = *rc::gen::arbitrary<std::string>();
  event.finding.severity = *rc::gen::element(Severity::quality, Severity::should, Severity::must);
  event.finding.check = *rc::gen::arbitrary<std::string>();
  event.finding.title = *rc::gen::arbitrary<std::string>();
  event.finding.message = *rc::gen::arbitrary<std::string>();
  event.finding.expected = *rc::gen::arbitrary<std::string>();
  event.finding.actual = *rc::gen::arbitrary<std::string>();
  event.finding.details = *rc::gen::arbitrary<std::vector<std::string>>();
  event.sequence_length = *rc::gen::arbitrary<std::uint64_t>();
  const std::string line = to_line(event);
  RC_ASSERT(line.find('\n') == std::string::npos);
  const auto back = event_from_line(line);
  RC_ASSERT(back.has_value());
  RC_ASSERT(back->kind == event.kind);
  RC_ASSERT(back->finding.rule == event.finding.rule);
  RC_ASSERT(back->finding.severity == event.finding.severity);
  RC_ASSERT(back->finding.check == event.finding.check);
  RC_ASSERT(back->finding.title == event.finding.title);
  RC_ASSERT(back->finding.message == event.finding.message);
  RC_ASSERT(back->finding.expected == event.finding.expected);
  RC_ASSERT(back->finding.actual == event.finding.actual);
  RC_ASSERT(back->finding.details == event.finding.details);
  RC_ASSERT(back->sequence_length == event.sequence_length);
}

TEST(Wire, TheOtherEventsComeThrough) {
  ChildEvent unknown;
  unknown.kind = ChildEvent::Kind::unknown;
  unknown.text = "why\n\xff\x01\"";
  auto back = event_from_line(to_line(unknown));
  ASSERT_TRUE(back);
  EXPECT_EQ(back->kind, ChildEvent::Kind::unknown);
  EXPECT_EQ(back->text, unknown.text);
  unknown.kind = ChildEvent::Kind::remark;
  EXPECT_EQ(event_from_line(to_line(unknown))->kind, ChildEvent::Kind::remark);
  unknown.kind = ChildEvent::Kind::schedule;
  EXPECT_EQ(event_from_line(to_line(unknown))->kind, ChildEvent::Kind::schedule);
  EXPECT_EQ(event_from_line(to_line(unknown))->text, unknown.text);
  unknown.kind = ChildEvent::Kind::not_applicable;
  back = event_from_line(to_line(unknown));
  ASSERT_TRUE(back);
  EXPECT_EQ(back->kind, ChildEvent::Kind::not_applicable);
  EXPECT_EQ(back->text, unknown.text);

  ChildEvent reproduced;
  reproduced.kind = ChildEvent::Kind::reproduced;
  reproduced.shown = true;
  reproduced.text = "expected\n\xff";
  back = event_from_line(to_line(reproduced));
  ASSERT_TRUE(back);
  EXPECT_EQ(back->kind, ChildEvent::Kind::reproduced);
  EXPECT_TRUE(back->shown);
  EXPECT_EQ(back->text, reproduced.text);

  ChildEvent done;
  done.operations = UINT64_MAX;
  back = event_from_line(to_line(done));
  ASSERT_TRUE(back);
  EXPECT_EQ(back->kind, ChildEvent::Kind::done);
  EXPECT_EQ(back->operations, UINT64_MAX);

  ChildEvent subject;
  subject.kind = ChildEvent::Kind::subject;
  subject.subject.info.size = UINT64_MAX >> 1;
  subject.subject.info.can_trim = true;
  subject.subject.thread_model = ThreadModel::parallel;
  subject.subject.persistence = Persistence::per_connection;
  subject.subject.nanoseconds_per_read = 77;
  back = event_from_line(to_line(subject));
  ASSERT_TRUE(back);
  EXPECT_EQ(back->kind, ChildEvent::Kind::subject);
  EXPECT_EQ(back->subject.info.size, UINT64_MAX >> 1);
  EXPECT_TRUE(back->subject.info.can_trim);
  EXPECT_EQ(back->subject.thread_model, ThreadModel::parallel);
  EXPECT_EQ(back->subject.persistence, Persistence::per_connection);
  EXPECT_EQ(back->subject.nanoseconds_per_read, 77U);
}

TEST(Wire, WhatIsNotOursIsIgnored) {
  for (const char* line : {"",
                           "hello",
                           "{",
                           "[]",
                           "null",
                           "1",
                           "\"event\"",
                           "{}",
                           R"({"event":1})",
                           R"({"event":"unheard-of"})",
                           R"({"event":"done"})",
                           R"({"event":"done","operations":"x"})",
                           R"({"event":"done","operations":null})",
                           R"({"event":"unknown"})",
                           R"({"event":"unknown","text":7})",
                           R"({"event":"subject"})",
                           R"({"event":"subject","job":"not a job"})",
                           R"({"event":"subject","job":{}})",
                           R"({"event":"finding"})",
                           R"({"event":"finding","finding":{},"sequence":1})",
                           R"({"event":"finding","finding":[],"sequence":1})",
                           "\xff\xfe",
                           "{\"event\":\"\xff\"}"})
    EXPECT_FALSE(event_from_line(line)) << line;
  EXPECT_FALSE(event_from_line(std::string(100'000, '[')));
  EXPECT_FALSE(event_from_line(std::string("\0{}", 3)));
}

TEST(Wire, AnUnheardOfSeverityIsTheWorst) {
  ChildEvent event;
  event.kind = ChildEvent::Kind::finding;
  event.finding.severity = Severity::quality;
  std::string line = to_line(event);
  const auto at = line.find("\"severity\":0");
  ASSERT_NE(at, std::string::npos) << line;
  line.replace(at, 12, "\"severity\":9");
  const auto back = event_from_line(line);
  ASSERT_TRUE(back);
  EXPECT_EQ(back->finding.severity, Severity::must);
}

RC_GTEST_PROP(Wire, NoLineIsTooStrange, ()) {
  ChildEvent event;
  event.kind = ChildEvent::Kind::finding;
  event.finding.message = "message";
  std::string line = to_line(event);
  const auto cuts = *rc::gen::inRange(1, 6);
  for (int i = 0; i < cuts && !line.empty(); ++i)
    line[*rc::gen::inRange<std::size_t>(0, line.size())] = *rc::gen::arbitrary<char>();
  line.resize(*rc::gen::inRange<std::size_t>(0, line.size() + 1));
  event_from_line(line);  // must not throw
}

}  // namespace
}  // namespace nbdcheck
