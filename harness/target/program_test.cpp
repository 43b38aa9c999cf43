#include "target/program.hpp"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <thread>

#include "sandbox/process_table.hpp"

namespace nbdcheck {
namespace {

using std::chrono::seconds;

bool ends_within(pid_t pid, seconds limit) {
  const auto end = std::chrono::steady_clock::now() + limit;
  while (std::chrono::steady_clock::now() < end) {
    const sandbox::ProcessFacts facts = sandbox::process_facts(pid);
    if (facts.pid == 0 || facts.is_dead()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return false;
}

TEST(Program, TellsHowItEnded) {
  auto program = Program::start({{"sh", "-c", "echo out; echo err >&2; exit 7"}});
  ASSERT_TRUE(program) << program.error();
  ASSERT_TRUE((*program)->wait(seconds(30)));
  EXPECT_EQ((*program)->end().words(), "exited with status 7");
  EXPECT_EQ((*program)->standard_output(), "out\n");
  EXPECT_EQ((*program)->standard_error(), "err\n");
}

TEST(Program, SaysWhyItDoesNotStart) {
  const auto program = Program::start({{"/no/such/program"}});
  ASSERT_FALSE(program);
  EXPECT_EQ(program.error(), "cannot start /no/such/program: No such file or directory");
}

TEST(Program, BeginsWithTheUsualSignals) {
  const auto before = std::signal(SIGUSR1, SIG_IGN);
  sigset_t blocked;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGUSR1);
  pthread_sigmask(SIG_BLOCK, &blocked, nullptr);
  auto program = Program::start({{"sh", "-c", "kill -USR1 $$; sleep 60"}});
  pthread_sigmask(SIG_UNBLOCK, &blocked, nullptr);
  (void)std::signal(SIGUSR1, before);
  ASSERT_TRUE(program) << program.error();
  ASSERT_TRUE((*program)->wait(seconds(30)));
  EXPECT_EQ((*program)->end().words(), "was killed by SIGUSR1 (User defined signal 1)");
}

// Killed, we cannot end it any more, and it has not asked for anything itself.
TEST(Program, DoesNotOutliveUs) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  const pid_t us = ::fork();
  if (us == 0) {
    const auto program = Program::start({{"sleep", "600"}});
    const pid_t pid = program ? (*program)->pid() : 0;
    if (::write(ends[1], &pid, sizeof pid) != sizeof pid) ::_exit(1);
    ::raise(SIGKILL);
  }
  ::close(ends[1]);
  pid_t program = 0;
  ASSERT_EQ(::read(ends[0], &program, sizeof program), ssize_t{sizeof program});
  ::close(ends[0]);
  ::waitpid(us, nullptr, 0);
  ASSERT_GT(program, 0);
  const bool ended = ends_within(program, seconds(30));
  EXPECT_TRUE(ended);
  if (!ended) ::kill(program, SIGKILL);
}

}  // namespace
}  // namespace nbdcheck
