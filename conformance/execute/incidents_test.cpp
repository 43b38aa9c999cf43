#include "execute/incidents.hpp"

#include <gtest/gtest.h>

namespace nbdcheck {
namespace {

std::vector<std::string> rules_of(IncidentCollector& collector) {
  std::vector<std::string> rules;
  for (const Violation& violation : collector.take()) rules.push_back(violation.rule);
  return rules;
}

using Rules = std::vector<std::string>;

TEST(Incidents, EachRuleIsToldOnce) {
  IncidentCollector collector;
  collector.on_incident({IncidentKind::no_errno, Callback::pread, "first"});
  collector.on_incident({IncidentKind::no_errno, Callback::pwrite, "second"});
  EXPECT_TRUE(collector.has_news());
  const auto violations = collector.take();
  ASSERT_EQ(violations.size(), 1U);
  EXPECT_EQ(violations[0].rule, "error.errno");
  EXPECT_EQ(violations[0].message, "first");
  EXPECT_FALSE(collector.has_news());
}

TEST(Incidents, AnErrnoThatWasRefusedIsNotAMissingOne) {
  IncidentCollector collector;
  collector.on_incident({IncidentKind::errno_not_positive, Callback::pread, ""});
  collector.on_incident({IncidentKind::no_errno, Callback::pread, ""});
  EXPECT_EQ(rules_of(collector), Rules{"error.errno-positive"});
}

TEST(Incidents, WhatACheckProvokesIsNotReported) {
  IncidentCollector collector;
  collector.expect(IncidentKind::no_errno);
  collector.on_incident({IncidentKind::no_errno, Callback::pread, ""});
  EXPECT_EQ(rules_of(collector), Rules{});
  EXPECT_TRUE(collector.seen(IncidentKind::no_errno));
}

TEST(Messages, AreLinesOfText) {
  EXPECT_EQ(fault_in_message(Callback::pread, "bad sector"), "");
  EXPECT_EQ(fault_in_message(Callback::pread, "bad sector\n"), "ends with a newline");
  EXPECT_EQ(fault_in_message(Callback::pread, ""), "has no text");
  EXPECT_EQ(fault_in_message(Callback::pread, " \n"), "has no text");
  EXPECT_EQ(fault_in_message(Callback::get_ready, "no\n"), "ends with a newline");
  EXPECT_EQ(fault_in_message(Callback::pread, "Traceback:\n  line 1\nKeyError"), "");
}

TEST(Messages, MayQuoteWhatSomebodySent) {
  for (const Callback callback : {Callback::config, Callback::open, Callback::list_exports,
                                  Callback::export_description, Callback::none})
    EXPECT_EQ(fault_in_message(callback, "unknown: x\n"), "") << name(callback);
}

TEST(Messages, AreReportedAsTheyCome) {
  IncidentCollector collector;
  collector.on_error(Callback::pread, "fine");
  EXPECT_FALSE(collector.has_news());
  collector.on_error(Callback::pread, "bad\n");
  collector.on_error(Callback::pread, "worse\n");
  EXPECT_EQ(rules_of(collector), Rules{"error.message-format"});
  EXPECT_EQ(collector.last_error(), "worse\n");
}

TEST(Messages, AreKeptOnRequest) {
  IncidentCollector collector;
  collector.on_error(Callback::config, "before");
  EXPECT_TRUE(collector.messages().empty());
  collector.keep_messages();
  collector.on_debug(Callback::config, "a detail");
  collector.on_error(Callback::config, "an error");
  EXPECT_EQ(collector.messages(), (std::vector<std::string>{"a detail", "an error"}));
  collector.keep_messages();
  EXPECT_TRUE(collector.messages().empty());
  for (int i = 0; i < 2000; ++i) collector.on_debug(Callback::config, std::string(5000, 'x'));
  EXPECT_EQ(collector.messages().size(), 1000U);
  EXPECT_EQ(collector.messages().front().size(), 1000U);
}

}  // namespace
}  // namespace nbdcheck
