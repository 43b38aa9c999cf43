#include "runner/process_rules.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>

#include "checks/check.hpp"
#include "checks/phases.hpp"

namespace nbdcheck {
namespace {

const Registration stops_threads{{.id = "demo.at-once",
                                  .summary = "",
                                  .rules = {},
                                  .not_applicable = {},
                                  .run = {},
                                  .at_once = true}};
const Registration odd_buffers{{.id = "demo.odd-buffers",
                                .summary = "",
                                .rules = {},
                                .not_applicable = {},
                                .run = {},
                                .buffers = BufferMode::guarded_odd}};

using Kind = ChildEnd::Kind;

ChildEnd ended(Kind kind) {
  ChildEnd end;
  end.kind = kind;
  return end;
}

std::string rule_of(const ChildEnd& end, const std::string& check = "data.random") {
  const auto finding = finding_from_end(end, check);
  if (!finding) return "";
  EXPECT_EQ(finding->check, check);
  EXPECT_FALSE(finding->message.empty());
  EXPECT_NE(std::ranges::find(runner_rules(), finding->rule), runner_rules().end())
      << finding->rule << " is not in the list of rules that any check can run into";
  return finding->rule;
}

// A crash at `address` while a callback held the guarded buffer [0x10000, +4096).
ChildEnd guard_hit(std::uint64_t address, Callback callback, std::uint64_t buffer = 0x10000) {
  ChildEnd end = ended(Kind::crashed);
  end.signal = SIGSEGV;
  end.fault_in_guard = true;
  end.fault_address = address;
  end.callback = callback;
  end.call = "." + std::string(name(callback)) + "(...)";
  end.buffer = buffer;
  end.buffer_size = 4096;
  return end;
}

TEST(ProcessRules, EndsThatAreNoFault) {
  EXPECT_EQ(rule_of(ended(Kind::finished)), "");
  EXPECT_EQ(rule_of(ended(Kind::time_limit)), "");
  EXPECT_EQ(rule_of(ended(Kind::not_started)), "");
}

TEST(ProcessRules, TellTheCauseByThePhase) {
  ChildEnd hung = ended(Kind::hung);
  hung.phase = phase_after_error;
  EXPECT_EQ(finding_from_end(hung, "error.requests")->rule, "error.lock-held");
  ChildEnd crash = ended(Kind::crashed);
  crash.signal = SIGSEGV;
  crash.phase = phase_after_error;
  EXPECT_EQ(finding_from_end(crash, "error.requests")->rule, "process.crash");
  ChildEnd trap = crash;
  trap.signal = SIGTRAP;
  EXPECT_FALSE(finding_from_end(trap, "demo.at-once").has_value()) << "our own";
  EXPECT_EQ(finding_from_end(trap, "data.random")->rule, "process.crash");
  crash.phase = phase_unloaded;
  EXPECT_EQ(finding_from_end(crash, "process.state")->rule, "process.threads");
  crash.phase = "asking for the capabilities";
  EXPECT_EQ(finding_from_end(crash, "capability.values")->rule, "process.crash");
  crash.in_unloaded = true;  // of the server before
  EXPECT_EQ(finding_from_end(crash, "capability.values")->rule, "process.threads");
  crash.in_unloaded = false;
  crash.phase = phase_unloaded;
  crash.callback = Callback::cleanup;
  EXPECT_EQ(finding_from_end(crash, "process.state")->rule, "process.crash");
  crash.callback = Callback::none;
  crash.phase = phase_no_descriptor;
  EXPECT_EQ(finding_from_end(crash, "error.exhaustion")->rule, "error.exhaustion");
  crash.phase = phase_descriptors_again;
  EXPECT_EQ(finding_from_end(crash, "error.exhaustion")->rule, "process.crash");
  crash.phase = phase_no_memory;
  EXPECT_EQ(finding_from_end(crash, "error.requests")->rule, "process.crash");
  crash.signal = SIGABRT;
  EXPECT_FALSE(finding_from_end(crash, "error.requests").has_value()) << "its policy";
  ChildEnd exited = ended(Kind::exited);
  exited.phase = phase_no_descriptor;
  EXPECT_EQ(finding_from_end(exited, "error.exhaustion")->rule, "error.exhaustion");
  // The status page keeps 64 characters of a phase.
  EXPECT_LT(std::string_view(phase_after_error).size(), sizeof StatusPage::phase);
  EXPECT_LT(std::string_view(phase_no_descriptor).size(), sizeof StatusPage::phase);
  EXPECT_LT(std::string_view(phase_no_memory).size(), sizeof StatusPage::phase);
  EXPECT_LT(std::string_view(phase_descriptors_again).size(), sizeof StatusPage::phase);
  EXPECT_LT(std::string_view(phase_unloaded).size(), sizeof StatusPage::phase);
}

TEST(ProcessRules, EachBadEndHasItsRule) {
  ChildEnd crash = ended(Kind::crashed);
  crash.signal = SIGABRT;
  EXPECT_EQ(rule_of(crash), "process.crash");
  EXPECT_EQ(rule_of(ended(Kind::exited)), "process.exit");
  ChildEnd thread = ended(Kind::exited);
  thread.thread_only = true;
  EXPECT_EQ(rule_of(thread), "process.exit");
  EXPECT_FALSE(same_fault(thread, ended(Kind::exited)));
  EXPECT_EQ(rule_of(ended(Kind::hung)), "process.hang");
  EXPECT_EQ(rule_of(ended(Kind::memory)), "process.memory");

  ChildEnd forked = ended(Kind::finished);
  forked.forked_copy_returned = true;
  EXPECT_EQ(rule_of(forked), "process.forked-copy");
  ChildEnd descriptors = ended(Kind::finished);
  descriptors.event_descriptor_closed = true;
  EXPECT_EQ(rule_of(descriptors), "process.descriptors");
  ChildEnd leftovers = ended(Kind::finished);
  leftovers.leftover_processes = 2;
  EXPECT_EQ(rule_of(leftovers), "process.leftovers");
  EXPECT_NE(finding_from_end(leftovers, "x")->message.find("2 processes"), std::string::npos);
}

TEST(ProcessRules, AWildAccessIsToldByWhereItHit) {
  const std::uint64_t begin = 0x10000;
  const std::uint64_t end = begin + 4096;
  EXPECT_EQ(rule_of(guard_hit(end, Callback::pread)), "data.buffer-overrun");
  EXPECT_EQ(rule_of(guard_hit(end + 4095, Callback::pwrite)), "data.buffer-overrun");
  EXPECT_EQ(rule_of(guard_hit(end + 8192, Callback::pwrite)), "data.buffer-kept")
      << "beyond the guard lies the buffer of somebody else";
  EXPECT_EQ(rule_of(guard_hit(begin - 1, Callback::pread)), "data.buffer-overrun");
  EXPECT_EQ(rule_of(guard_hit(begin, Callback::pwrite)), "data.buffer-modified");
  EXPECT_EQ(rule_of(guard_hit(end - 1, Callback::pwrite)), "data.buffer-modified");
  EXPECT_EQ(rule_of(guard_hit(end + (1 << 20), Callback::pread)), "data.buffer-kept");
  EXPECT_EQ(rule_of(guard_hit(begin, Callback::flush, 0)), "data.buffer-kept")
      << "a callback without a buffer touched an old one";
  EXPECT_NE(finding_from_end(guard_hit(begin - 1, Callback::pread), "x")->message.find("before"),
            std::string::npos);
  EXPECT_NE(finding_from_end(guard_hit(end, Callback::pread), "x")->message.find("behind"),
            std::string::npos);
  // Near the top of the address space nothing wraps.
  EXPECT_EQ(rule_of(guard_hit(100, Callback::pread, 200)), "data.buffer-overrun");
}

TEST(ProcessRules, OnlyMemorySignalsPointAtAGuard) {
  ChildEnd end = guard_hit(0x10000, Callback::pwrite);
  end.signal = SIGABRT;
  EXPECT_EQ(rule_of(end), "process.crash");
  end.signal = SIGBUS;
  EXPECT_EQ(rule_of(end), "data.buffer-modified");
}

TEST(ProcessRules, ACrashOnOddBuffersIsAboutAlignment) {
  ChildEnd end = ended(Kind::crashed);
  end.signal = SIGSEGV;
  end.signal_code = SI_KERNEL;
  EXPECT_EQ(rule_of(end, "demo.odd-buffers"), "process.crash") << "no buffer was in use";
  end.callback = Callback::pwrite;
  EXPECT_EQ(rule_of(end, "demo.odd-buffers"), "data.buffer-alignment");
  EXPECT_EQ(rule_of(end, "data.random"), "process.crash");
  end.signal_code = SEGV_MAPERR;
  EXPECT_EQ(rule_of(end, "demo.odd-buffers"), "process.crash") << "there is nothing at the address";
  end.signal = SIGBUS;
  end.signal_code = BUS_ADRALN;
  EXPECT_EQ(rule_of(end, "demo.odd-buffers"), "data.buffer-alignment");
  end.signal = SIGABRT;
  EXPECT_EQ(rule_of(end, "demo.odd-buffers"), "process.crash");
}

TEST(ProcessRules, TheEvidenceIsThere) {
  ChildEnd end = ended(Kind::crashed);
  end.signal = SIGSEGV;
  end.fault_address = 0x1234;
  end.call = ".pread(count=1, offset=2)";
  ThreadStack culprit;
  culprit.thread_id = 11;
  culprit.culprit = true;
  for (int i = 0; i < 100; ++i) culprit.frames.push_back({0x1000, "my_pread", "x.so", "x.c:7"});
  ThreadStack other;
  other.thread_id = 12;
  other.frames.push_back({0xabc, "", "", ""});
  end.stacks = {culprit, other};
  for (int i = 0; i < 100; ++i) end.standard_error += "line " + std::to_string(i) + "\n";
  const auto finding = finding_from_end(end, "x");
  ASSERT_TRUE(finding);
  EXPECT_NE(finding->message.find("SIGSEGV"), std::string::npos);
  EXPECT_NE(finding->message.find("in .pread(count=1, offset=2)"), std::string::npos);
  EXPECT_NE(finding->actual.find("0x1234"), std::string::npos);
  std::string all;
  for (const std::string& line : finding->details) all += line + "\n";
  EXPECT_NE(all.find("my_pread at x.c:7 (x.so)"), std::string::npos) << all;
  EXPECT_EQ(all.find("thread 12"), std::string::npos) << "in a crash only the culprit matters";
  EXPECT_NE(all.find("  line 99\n"), std::string::npos) << all;
  EXPECT_NE(all.find("  line 94\n"), std::string::npos) << all;
  EXPECT_EQ(all.find("line 93"), std::string::npos) << "the last lines only";
  EXPECT_LT(finding->details.size(), 40U);

  end.kind = Kind::hung;
  all.clear();
  const auto hang = finding_from_end(end, "x");
  ASSERT_TRUE(hang);
  for (const std::string& line : hang->details) all += line + "\n";
  EXPECT_NE(all.find("thread 12 (waiting)"), std::string::npos) << all;
  EXPECT_NE(all.find("0xabc"), std::string::npos) << all;
  EXPECT_EQ(hang->message.find("deadlock"), std::string::npos) << hang->message;

  for (ThreadStack& stack : end.stacks) stack.in_lock_cycle = true;
  end.stacks.front().waits_for = "the mutex at 0x10, which thread 12 has";
  const auto deadlock = finding_from_end(end, "x");
  EXPECT_NE(deadlock->message.find(". A deadlock: threads "), std::string::npos)
      << deadlock->message;
  all.clear();
  for (const std::string& line : deadlock->details) all += line + "\n";
  EXPECT_NE(all.find("waits for the mutex at 0x10, which thread 12 has"), std::string::npos) << all;
}

TEST(ProcessRules, AHangOfOurOwnIsNotThePlugins) {
  ChildEnd end = ended(Kind::hung);
  ThreadStack first;
  first.frames = {{1, "pthread_cond_wait", "libc.so.6", ""},
                  {2, "nbdcheck::Lane::wait()", "nbdcheck-asan", ""},
                  {3, "main", "nbdcheck-asan", ""},
                  {4, "__libc_start_main", "libc.so.6", ""}};
  ThreadStack worker;
  worker.frames = {{1, "sleep", "libc.so.6", ""}, {2, "work", "libx.so", ""}};
  end.stacks = {worker, first};
  EXPECT_TRUE(stood_still_by_itself(end)) << "threads of the plugin's own may wait";
  EXPECT_FALSE(finding_from_end(end, "x"));
  end.callback = Callback::pread;
  EXPECT_FALSE(stood_still_by_itself(end));
  end.callback = Callback::none;
  // A constructor.
  end.stacks.back().frames.insert(end.stacks.back().frames.begin() + 1, {5, "ctor", "libx.so", ""});
  EXPECT_FALSE(stood_still_by_itself(end));
  EXPECT_EQ(rule_of(end), "process.hang");
  end.stacks = {first};
  end.stacks.front().frames.resize(1);
  EXPECT_FALSE(stood_still_by_itself(end)) << "nobody knows where it is";
  end.stacks.clear();
  EXPECT_FALSE(stood_still_by_itself(end));
}

TEST(ProcessRules, AnyStandardErrorIsCutIntoLines) {
  for (const char* text :
       {"", "x", "\n", "\n\n", "x\n", "\nx", "a\nb", "a\n\nb\n\n", "1\n2\n3\n4\n5\n6\n7"}) {
    ChildEnd end = ended(Kind::exited);
    end.standard_error = text;
    const auto finding = finding_from_end(end, "x");
    ASSERT_TRUE(finding);
    EXPECT_LE(finding->details.size(), 7U) << text;
    for (const std::string& line : finding->details)
      EXPECT_EQ(line.find('\n'), std::string::npos) << text;
  }
  ChildEnd end = ended(Kind::exited);
  end.standard_error = "1\n2\n3\n4\n5\n6\n7";
  const auto lines = finding_from_end(end, "x")->details;
  EXPECT_EQ(lines.back(), "  7");
  EXPECT_EQ(lines.at(1), "  2");
}

TEST(ProcessRules, WhatARuntimeSaysComesFirst) {
  std::string trace;
  for (int i = 0; i < 50; ++i) trace += "\t/src/main.go:" + std::to_string(i) + "\n";
  for (const char* words :
       {"panic: runtime error: index out of range [7] with length 3",
        "fatal error: concurrent map writes", "Fatal error: exception Not_found",
        "thread '<unnamed>' panicked at 'index out of bounds', src/lib.rs:3"}) {
    ChildEnd end = ended(Kind::crashed);
    end.signal = SIGABRT;
    end.standard_error = "a message of the plugin\n" + std::string(words) + "\n" + trace;
    const auto finding = finding_from_end(end, "x");
    ASSERT_TRUE(finding);
    EXPECT_EQ(finding->details.front(), "standard error: " + std::string(words));
    EXPECT_EQ(finding->details.back(), "  \t/src/main.go:49");
  }
}

TEST(ProcessRules, TheSameFault) {
  ChildEnd a = guard_hit(1, Callback::pread);
  ChildEnd b = guard_hit(2, Callback::pread);
  EXPECT_TRUE(same_fault(a, b)) << "addresses differ from run to run";
  b.callback = Callback::pwrite;
  EXPECT_FALSE(same_fault(a, b));
  b = a;
  b.signal = SIGABRT;
  EXPECT_FALSE(same_fault(a, b));
  b = a;
  b.kind = Kind::hung;
  EXPECT_FALSE(same_fault(a, b));
}

}  // namespace
}  // namespace nbdcheck
