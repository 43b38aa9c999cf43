// How children end, and what run_child says about it.
#include "sandbox/sandbox_test.hpp"

#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <thread>

#include "sandbox/instruments.hpp"
#include "sandbox/process_table.hpp"

namespace nbdcheck::sandbox_test {

using namespace std::chrono_literals;
using Kind = ChildEnd::Kind;

bool sanitized() { return sandbox::under_sanitizer(); }

void SandboxTest::TearDown() {
  for (const auto& [pid, process] : sandbox::process_table()) {
    EXPECT_NE(process.parent, ::getpid()) << "left behind: " << pid << ' ' << process.state;
  }
}

ChildSpec SandboxTest::spec(const std::string& mode) {
  ChildSpec spec;
  spec.arguments = {"--child", mode};
  spec.stall_limit = 300ms;
  if (sanitized()) spec.stall_limit = 100ms;  // times ten
  spec.on_event = [this](std::string_view line) { events_.emplace_back(line); };
  return spec;
}

std::string blamed(const ChildEnd& end) {
  for (const ThreadStack& stack : end.stacks) {
    if (stack.culprit && !stack.frames.empty()) return stack.frames.front().function;
  }
  return {};
}

bool some_stack_has(const ChildEnd& end, std::string_view part, bool culprit_only) {
  return std::any_of(end.stacks.begin(), end.stacks.end(), [&](const ThreadStack& stack) {
    if (culprit_only && !stack.culprit) return false;
    return std::any_of(stack.frames.begin(), stack.frames.end(), [part](const StackFrame& frame) {
      return frame.function.find(part) != std::string::npos;
    });
  });
}

std::string show(const ChildEnd& end) {
  std::string text = end.message + "\n" + end.standard_error;
  for (const ThreadStack& stack : end.stacks) {
    text += "thread " + std::to_string(stack.thread_id) + (stack.culprit ? " culprit " : " ") +
            stack.doing + "\n";
    for (const StackFrame& frame : stack.frames) {
      text += "  " + frame.function + " " + frame.module + " " + frame.source + "\n";
    }
  }
  return text;
}

namespace {

TEST_F(SandboxTest, Finished) {
  ChildSpec wanted = spec("finish");
  wanted.input = "some input";
  wanted.scratch = "/tmp";
  int ticks = 0;
  wanted.on_tick = [&ticks](const StatusPage&) { ++ticks; };
  const ChildEnd end = run_child(wanted);
  EXPECT_EQ(end.kind, Kind::finished) << show(end);
  ASSERT_EQ(events_.size(), 3U);
  EXPECT_EQ(events_[0], "got some input");
  EXPECT_EQ(events_[1], std::string(100'000, 'x'));
  EXPECT_EQ(events_[2], "/tmp");
  EXPECT_EQ(end.standard_output, "on stdout\n");
  EXPECT_EQ(end.standard_error, "on stderr\n");
  EXPECT_EQ(end.operations, 1U);
  EXPECT_EQ(end.call, "");
  EXPECT_EQ(end.leftover_processes, 0);
  EXPECT_FALSE(end.event_descriptor_closed);
  EXPECT_FALSE(end.forked_copy_returned);
}

TEST_F(SandboxTest, FinishedByReturningFromMain) {
  EXPECT_EQ(run("finish-by-return").kind, Kind::finished);
}

TEST_F(SandboxTest, CrashInExitHandlers) {
  const ChildEnd end = run("crash-in-exit");
  EXPECT_EQ(end.kind, Kind::crashed) << show(end);
  EXPECT_EQ(end.phase, "exit");
}

TEST_F(SandboxTest, SegmentationFault) {
  const ChildEnd end = run("segv");
  EXPECT_EQ(end.kind, Kind::crashed);
  if (!sanitized()) {
    EXPECT_EQ(end.signal, SIGSEGV);
    EXPECT_EQ(end.signal_code, SEGV_MAPERR);
    EXPECT_EQ(end.message,
              "crashed with SIGSEGV at address 0x0 in .pwrite(count=4096, offset=512, flags=FUA) "
              "(reading the last byte)");
  }
  EXPECT_EQ(end.fault_address, 0U);
  EXPECT_FALSE(end.fault_in_guard);
  EXPECT_EQ(end.call, ".pwrite(count=4096, offset=512, flags=FUA)");
  EXPECT_EQ(end.callback, Callback::pwrite);
  EXPECT_EQ(end.phase, "reading the last byte");
  EXPECT_EQ(end.plan_index, 7);
  EXPECT_NE(blamed(end).find("touch_nothing"), std::string::npos) << show(end);
  ASSERT_FALSE(end.stacks.empty());
  EXPECT_TRUE(end.stacks[0].culprit);
  EXPECT_EQ(end.stacks[0].doing, end.call);
  ASSERT_FALSE(end.stacks[0].frames.empty());
  EXPECT_EQ(end.stacks[0].frames[0].module, "sandbox_test");
  EXPECT_TRUE(some_stack_has(end, "child_main", true)) << show(end);
}

TEST_F(SandboxTest, StacksOnlyWhenWanted) {
  ChildSpec wanted = spec("segv");
  wanted.take_stacks = false;
  const ChildEnd end = run_child(wanted);
  EXPECT_EQ(end.kind, Kind::crashed);
  EXPECT_TRUE(end.stacks.empty());
}

TEST_F(SandboxTest, Abort) {
  const ChildEnd end = run("abort");
  EXPECT_EQ(end.kind, Kind::crashed);
  EXPECT_EQ(end.signal, SIGABRT);
  if (!sanitized()) {
    EXPECT_NE(blamed(end).find("abort"), std::string::npos) << show(end);
  }
  EXPECT_TRUE(some_stack_has(end, "give_up", true)) << show(end);
}

TEST_F(SandboxTest, ArithmeticException) {
  const ChildEnd end = run("fpe");
  EXPECT_EQ(end.kind, Kind::crashed);
  if (!sanitized()) {
    EXPECT_EQ(end.signal, SIGFPE);
  }
  EXPECT_NE(blamed(end).find("divide_by_nothing"), std::string::npos) << show(end);
}

TEST_F(SandboxTest, CallThroughNullPointer) {
  const ChildEnd end = run("null-call");
  EXPECT_EQ(end.kind, Kind::crashed);
  EXPECT_EQ(end.call, ".get_size()");
  if (!sanitized()) {
    EXPECT_TRUE(some_stack_has(end, "call_nothing", true)) << show(end);
  }
}

TEST_F(SandboxTest, FaultInGuardArea) {
  const ChildEnd end = run("guard");
  EXPECT_EQ(end.kind, Kind::crashed);
  if (sanitized()) GTEST_SKIP() << "the sanitizer keeps the address to itself";
  EXPECT_TRUE(end.fault_in_guard);
}

TEST_F(SandboxTest, StackOverflowOnPreparedThread) {
  const ChildEnd end = run("overflow");
  EXPECT_EQ(end.kind, Kind::crashed) << show(end);
  EXPECT_EQ(end.call, ".open()");
  EXPECT_TRUE(some_stack_has(end, "descend", true)) << show(end);
}

TEST_F(SandboxTest, ExitIsNoSuccess) {
  const ChildEnd end = run("exit");
  EXPECT_EQ(end.kind, Kind::exited) << show(end);
  EXPECT_EQ(end.exit_status, 0);
  EXPECT_EQ(end.message, "called exit(0) in .config_complete()");
  EXPECT_TRUE(some_stack_has(end, "call_exit", true)) << show(end);
}

TEST_F(SandboxTest, ExitInAnotherThread) {
  const ChildEnd end = run("exit-in-thread");
  EXPECT_EQ(end.kind, Kind::exited) << show(end);
  EXPECT_EQ(end.call, ".close()");
  EXPECT_TRUE(some_stack_has(end, "call_exit", true)) << show(end);
}

TEST_F(SandboxTest, ExitWithoutHandlers) {
  const ChildEnd end = run("_exit");
  EXPECT_EQ(end.kind, Kind::exited);
  EXPECT_EQ(end.message, "ended itself with status 0 in .flush(flags=0)");
}

TEST_F(SandboxTest, Exec) {
  ChildSpec wanted = spec("exec");
  wanted.stall_limit = 20s;
  const ChildEnd end = run_child(wanted);
  EXPECT_EQ(end.kind, Kind::exited);
  EXPECT_NE(end.message.find("exec"), std::string::npos) << end.message;
}

TEST_F(SandboxTest, Deadlock) {
  const ChildEnd end = run("deadlock");
  EXPECT_EQ(end.kind, Kind::hung);
  EXPECT_EQ(end.call, ".pread(count=8, offset=16, flags=0)");
  EXPECT_EQ(end.plan_index, 3);
  EXPECT_GE(end.stacks.size(), 3U);
  EXPECT_TRUE(some_stack_has(end, "mutex_lock", true) || some_stack_has(end, "deadlock", true))
      << show(end);
  EXPECT_TRUE(some_stack_has(end, "nanosleep")) << show(end);
  ASSERT_GE(end.stacks.size(), 2U);
  EXPECT_TRUE(end.stacks[0].culprit);
  EXPECT_FALSE(end.stacks[1].culprit);
  // A thread that sleeps has what the other waits for: no cycle.
  EXPECT_NE(end.stacks[0].waits_for.find("the mutex at 0x"), std::string::npos);
  EXPECT_FALSE(end.stacks[0].in_lock_cycle);
}

TEST_F(SandboxTest, LockCycle) {
  const ChildEnd end = run("lock-cycle");
  EXPECT_EQ(end.kind, Kind::hung);
  std::vector<int> waiting;
  for (const ThreadStack& stack : end.stacks)
    if (stack.in_lock_cycle) waiting.push_back(stack.thread_id);
  ASSERT_EQ(waiting.size(), 2U) << show(end);
  for (const ThreadStack& stack : end.stacks) {
    if (!stack.in_lock_cycle) continue;
    const int other = waiting[0] == stack.thread_id ? waiting[1] : waiting[0];
    EXPECT_NE(stack.waits_for.find("which thread " + std::to_string(other) + " has"),
              std::string::npos)
        << stack.waits_for;
  }
}

TEST_F(SandboxTest, AMutexLockedTwice) {
  const ChildEnd end = run("relock");
  EXPECT_EQ(end.kind, Kind::hung);
  const auto stack = std::ranges::find_if(end.stacks, &ThreadStack::in_lock_cycle);
  ASSERT_NE(stack, end.stacks.end()) << show(end);
  EXPECT_NE(stack->waits_for.find("which it has itself"), std::string::npos) << stack->waits_for;
}

TEST_F(SandboxTest, BusyLoop) {
  const ChildEnd end = run("busy");
  EXPECT_EQ(end.kind, Kind::hung);
  EXPECT_TRUE(some_stack_has(end, "spin")) << show(end);
}

TEST_F(SandboxTest, WhoGetsLittleOfAProcessorIsGivenTime) {
  const ChildEnd end = run("slow-work");
  EXPECT_EQ(end.kind, Kind::finished) << show(end);
}

TEST_F(SandboxTest, WhatTheKernelWorksOnIsNoHang) {
  const ChildEnd end = run("kernel-work");
  EXPECT_EQ(end.kind, Kind::finished) << show(end);
}

TEST_F(SandboxTest, ProgressKeepsAlive) {
  const ChildEnd end = run("progress");
  EXPECT_EQ(end.kind, Kind::finished) << show(end);
  EXPECT_EQ(end.operations, 45U);
}

TEST_F(SandboxTest, WallLimit) {
  ChildSpec wanted = spec("progress-for-ever");
  wanted.wall_limit = 200ms;
  const ChildEnd end = run_child(wanted);
  EXPECT_EQ(end.kind, Kind::time_limit);
  EXPECT_EQ(end.phase, "on and on");
}

TEST_F(SandboxTest, StopsItself) {
  const ChildEnd end = run("stop");
  EXPECT_EQ(end.kind, Kind::hung);
  EXPECT_NE(end.message.find("stopped by a signal"), std::string::npos) << end.message;
}

TEST_F(SandboxTest, MemoryLimit) {
  ChildSpec wanted = spec("hog");
  wanted.memory_limit = 200U << 20;
  if (sanitized()) wanted.memory_limit *= 2;
  const ChildEnd end = run_child(wanted);
  EXPECT_EQ(end.kind, Kind::memory) << show(end);
}

TEST_F(SandboxTest, InProcess) {
  std::string line;
  ChildSide& side = ChildSide::in_process([&line](std::string_view text) { line = text; });
  side.emit("an event");
  EXPECT_EQ(line, "an event");
  EXPECT_TRUE(is_original_process());
}

}  // namespace
}  // namespace nbdcheck::sandbox_test

int main(int argc, char** argv) {
  if (argc == 3 && std::string_view(argv[1]) == "--child") {
    return nbdcheck::sandbox_test::child_main(argv[2]);
  }
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
