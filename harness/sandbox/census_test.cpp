#include "nbdcheck/census.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <memory>
#include <thread>
#include <vector>

namespace nbdcheck {
namespace {

TEST(Census, CountsDescriptorsAndTellsHowTheyWereOpened) {
  const std::size_t before = descriptor_count();
  const int plain = ::open("/dev/null", O_RDONLY);
  const int closing = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  EXPECT_EQ(descriptor_count(), before + 2);
  for (const OpenDescriptor& descriptor : open_descriptors()) {
    if (descriptor.number != plain && descriptor.number != closing) continue;
    EXPECT_EQ(descriptor.target, "/dev/null");
    EXPECT_EQ(descriptor.closes_on_exec, descriptor.number == closing);
  }
  ::close(plain);
  ::close(closing);
  EXPECT_EQ(descriptor_count(), before);
}

TEST(Census, ListsThreads) {
  const auto before = threads();
  std::atomic<bool> stop = false;
  std::thread another([&] {
    while (!stop) std::this_thread::yield();
  });
  EXPECT_EQ(threads().size(), before.size() + 1);
  stop = true;
  another.join();
}

TEST(Census, CountsChildrenNobodyWaitedFor) {
  const std::size_t before = zombie_children();
  const pid_t pid = ::fork();
  if (pid == 0) ::_exit(0);
  siginfo_t info{};
  ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT), 0);
  EXPECT_EQ(zombie_children(), before + 1);
  EXPECT_TRUE(has_children());
  ::waitpid(pid, nullptr, 0);
  EXPECT_EQ(zombie_children(), before);
}

TEST(Census, SeesSignals) {
  const SignalDisposition before = disposition_of(SIGUSR2);
  (void)std::signal(SIGUSR2, SIG_IGN);
  EXPECT_TRUE(disposition_of(SIGUSR2).ignored);
  EXPECT_NE(disposition_of(SIGUSR2), before);
  (void)std::signal(SIGUSR2, SIG_DFL);
  sigset_t one;
  sigemptyset(&one);
  sigaddset(&one, SIGUSR2);
  ::pthread_sigmask(SIG_BLOCK, &one, nullptr);
  EXPECT_NE(blocked_signals() & (std::uint64_t{1} << SIGUSR2), 0U);
  ::pthread_sigmask(SIG_UNBLOCK, &one, nullptr);
  EXPECT_EQ(blocked_signals() & (std::uint64_t{1} << SIGUSR2), 0U);
}

TEST(Census, SeesWhatAllThreadsShare) {
  const Surroundings before = surroundings();
  ::setenv("NBDCHECK_CENSUS_TEST", "1", 1);
  const auto mask = ::umask(077);
  const Surroundings after = surroundings();
  ::umask(mask);
  ::unsetenv("NBDCHECK_CENSUS_TEST");
  EXPECT_EQ(after.file_mask, 077U);
  EXPECT_EQ(after.directory, before.directory);
  EXPECT_TRUE(std::ranges::binary_search(after.variables, "NBDCHECK_CENSUS_TEST=1"));
}

TEST(Census, MeasuresWhatIsMapped) {
  const std::uint64_t before = memory_use().mapped;
  const auto large = std::make_unique<std::vector<char>>(64U << 20);
  EXPECT_GE(memory_use().mapped, before + (64U << 20));
}

}  // namespace
}  // namespace nbdcheck
