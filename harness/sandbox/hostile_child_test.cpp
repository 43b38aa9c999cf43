// Children that play with descriptors, processes and output.
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <thread>

#include "sandbox/process_table.hpp"
#include "sandbox/sandbox_test.hpp"

namespace nbdcheck::sandbox_test {
namespace {

using namespace std::chrono_literals;
using Kind = ChildEnd::Kind;
using HostileChildTest = SandboxTest;

class ScratchDirectory {
 public:
  ScratchDirectory() { path_ = ::mkdtemp(template_.data()); }
  ~ScratchDirectory() { std::filesystem::remove_all(path_); }
  ScratchDirectory(const ScratchDirectory&) = delete;
  ScratchDirectory& operator=(const ScratchDirectory&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string template_ = "/tmp/nbdcheckXXXXXX";
  std::string path_;
};

TEST_F(HostileChildTest, ClosesAllDescriptors) {
  const ChildEnd end = run("close-all");
  EXPECT_EQ(end.kind, Kind::finished) << show(end);
  EXPECT_TRUE(end.event_descriptor_closed);
  EXPECT_TRUE(events_.empty());
}

TEST_F(HostileChildTest, PutsAFileOverTheEventDescriptor) {
  const ScratchDirectory scratch;
  ChildSpec wanted = spec("cover-events");
  wanted.scratch = scratch.path();
  const ChildEnd end = run_child(wanted);
  EXPECT_EQ(end.kind, Kind::finished) << show(end);
  EXPECT_TRUE(end.event_descriptor_closed);
  EXPECT_TRUE(events_.empty());
}

TEST_F(HostileChildTest, ClosesStandardStreams) {
  const ChildEnd end = run("close-stdio");
  EXPECT_EQ(end.kind, Kind::finished) << show(end);
  EXPECT_EQ(events_, std::vector<std::string>{"still here"});
}

TEST_F(HostileChildTest, PrintsForEver) {
  const ChildEnd end = run("print-for-ever");
  EXPECT_EQ(end.kind, Kind::hung);
  EXPECT_EQ(end.standard_output.size(), 65536U);
  EXPECT_NE(end.standard_output.find("dull boy"), std::string::npos);
}

TEST_F(HostileChildTest, GrandchildInItsOwnSession) {
  const ChildEnd end = run("grandchild");
  EXPECT_EQ(end.kind, Kind::finished) << show(end);
  EXPECT_EQ(end.leftover_processes, 1);
}

TEST_F(HostileChildTest, DaemonWithoutEnvironment) {
  const ChildEnd end = run("daemon");
  EXPECT_EQ(end.kind, Kind::finished) << show(end);
  EXPECT_EQ(end.leftover_processes, 1);
}

TEST_F(HostileChildTest, OrphanWithoutEnvironmentWhileOthersRun) {
  std::thread other([this] {
    ChildSpec wanted = spec("busy");
    wanted.on_event = {};
    wanted.stall_limit *= 3;
    EXPECT_EQ(run_child(wanted).kind, Kind::hung);
  });
  std::this_thread::sleep_for(50ms);  // too short only makes the test weaker
  const ChildEnd end = run("wiped");
  other.join();
  EXPECT_EQ(end.kind, Kind::finished) << show(end);
  EXPECT_EQ(end.leftover_processes, 1);
}

TEST_F(HostileChildTest, ForkBomb) {
  const ChildEnd end = run("fork-bomb");
  EXPECT_EQ(end.kind, Kind::crashed) << show(end);
  EXPECT_GT(end.leftover_processes, 0);
}

TEST_F(HostileChildTest, ForkBombOfSessions) {
  const ChildEnd end = run("session-bomb");
  EXPECT_EQ(end.kind, Kind::crashed) << show(end);
  EXPECT_GT(end.leftover_processes, 0);
}

TEST_F(HostileChildTest, ForkedCopyReturns) {
  const ChildEnd end = run("forked-copy");
  EXPECT_EQ(end.kind, Kind::finished) << show(end);
  EXPECT_TRUE(end.forked_copy_returned);
  EXPECT_EQ(events_, std::vector<std::string>{"original"});
  EXPECT_EQ(end.operations, 1U) << "the copy's call was counted as well";
}

TEST_F(HostileChildTest, CheckContinuesInItsOwnFork) {
  const ChildEnd end = run("continue-in-fork");
  EXPECT_EQ(end.kind, Kind::crashed) << show(end);
  EXPECT_EQ(end.call, ".after_fork()");
  EXPECT_EQ(events_, std::vector<std::string>{"copy at work"});
  EXPECT_FALSE(end.forked_copy_returned);
  EXPECT_NE(blamed(end).find("touch_nothing"), std::string::npos) << show(end);
}

TEST_F(HostileChildTest, RefusesToBeTraced) {
  const ChildEnd end = run("traced");
  EXPECT_EQ(end.kind, Kind::crashed) << show(end);
  EXPECT_NE(end.message.find("no full stacks"), std::string::npos) << end.message;
  if (sanitized()) GTEST_SKIP() << "the sanitizer keeps the instruction to itself";
  EXPECT_NE(blamed(end).find("touch_nothing"), std::string::npos) << show(end);
}

TEST_F(HostileChildTest, DiesWithItsParent) {
  std::array<int, 2> ends{};
  ASSERT_EQ(::pipe(ends.data()), 0);
  const pid_t parent = ::fork();
  if (parent == 0) {
    ChildSpec wanted = spec("busy");
    wanted.stall_limit = 60s;
    wanted.on_event = [&ends](std::string_view pid) {
      (void)!::write(ends[1], pid.data(), pid.size());
      ::kill(::getpid(), SIGKILL);
    };
    run_child(wanted);
    ::_exit(1);
  }
  ::close(ends[1]);
  std::array<char, 32> text{};
  const ssize_t length = ::read(ends[0], text.data(), text.size());
  ::close(ends[0]);
  ASSERT_GT(length, 0);
  pid_t child = 0;
  std::from_chars(text.data(), text.data() + length, child);
  int status = 0;
  ASSERT_EQ(::waitpid(parent, &status, 0), parent);
  ASSERT_TRUE(WIFSIGNALED(status));
  // Another run_child made us a subreaper, or else it belongs to init now.
  for (int i = 0; i < 1000; ++i) {
    const sandbox::ProcessFacts facts = sandbox::process_facts(child);
    if (facts.pid == 0 || facts.is_dead()) break;
    std::this_thread::sleep_for(10ms);
  }
  const sandbox::ProcessFacts facts = sandbox::process_facts(child);
  EXPECT_TRUE(facts.pid == 0 || facts.is_dead());
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
}

TEST_F(HostileChildTest, EightAtOnce) {
  const std::array<std::pair<const char*, Kind>, 8> wanted{{{"finish-by-return", Kind::finished},
                                                            {"segv", Kind::crashed},
                                                            {"grandchild", Kind::finished},
                                                            {"busy", Kind::hung},
                                                            {"exit", Kind::exited},
                                                            {"fork-bomb", Kind::crashed},
                                                            {"deadlock", Kind::hung},
                                                            {"_exit", Kind::exited}}};
  std::array<ChildEnd, 8> got;
  {
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      threads.emplace_back([&, i] {
        ChildSpec one = spec(wanted[i].first);
        one.stall_limit = sanitized() ? 500ms : 2000ms;
        one.on_event = {};
        got[i] = run_child(one);
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    EXPECT_EQ(got[i].kind, wanted[i].second) << wanted[i].first << ": " << show(got[i]);
  }
  EXPECT_EQ(got[0].leftover_processes, 0);
  EXPECT_EQ(got[2].leftover_processes, 1);
}

}  // namespace
}  // namespace nbdcheck::sandbox_test
