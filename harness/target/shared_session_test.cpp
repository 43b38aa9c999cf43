// Requests of several threads on one connection to the real nbdkit.
#include <gtest/gtest.h>
#include <signal.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <thread>

#include "nbdcheck/nbdkit.hpp"
#include "plugin/temporary_directory.hpp"

namespace nbdcheck {
namespace {

class SharedNbdkit : public testing::Test {
 protected:
  void SetUp() override {
    auto found = NbdkitProgram::find("");
    if (!found) GTEST_SKIP() << found.error().message;
    program_ = *found;
  }

  std::unique_ptr<NbdkitProcess> started(const std::string& plugin,
                                         std::vector<std::string> arguments) {
    auto nbdkit = NbdkitProcess::start(
        program_,
        {.plugin = plugin, .arguments = std::move(arguments), .directory = directory_.path()});
    if (!nbdkit) ADD_FAILURE() << nbdkit.error().message;
    return nbdkit ? *std::move(nbdkit) : nullptr;
  }

  TemporaryDirectory directory_;
  NbdkitProgram program_;
};

TEST_F(SharedNbdkit, EveryThreadGetsTheReplyToItsOwnRequest) {
  const auto nbdkit = started(RAMDISK_PLUGIN, {"size=1M"});
  ASSERT_NE(nbdkit, nullptr);
  SharedNbdkitTarget target(*nbdkit);
  auto session = target.open("");
  ASSERT_TRUE(session.has_value()) << session.error().message;
  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < 6; ++t)
    threads.emplace_back([&, t] {
      std::array<std::byte, 700> data{};
      std::array<std::byte, 700> back{};
      for (unsigned i = 0; i < 100; ++i) {
        data.fill(static_cast<std::byte>(t * 40 + i % 40));
        const std::uint64_t offset = 100'000U * t + 701U * i;
        if (!(*session)->write(data, offset, 0).ok()) ++wrong;
        if (!(*session)->read(back, offset, 0).ok() || back != data) ++wrong;
        if ((*session)->read(back, 1U << 20, 0).error != EINVAL) ++wrong;
      }
    });
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(target.lost(), "");
}

// A read succeeds only while there is another.
TEST_F(SharedNbdkit, RequestsAreInFlightTogether) {
  const auto nbdkit =
      started("eval", {"thread_model=echo parallel", "get_size=echo 1M",
                       "pread=touch $tmpdir/read.$4; i=0; while [ $i -lt 200 ]; do "
                       "if [ -e $tmpdir/read.0 ] && [ -e $tmpdir/read.512 ]; then "
                       "dd if=/dev/zero count=$3 iflag=count_bytes status=none; exit; fi; "
                       "i=$((i + 1)); sleep 0.05; done; echo EIO alone >&2; exit 1"});
  ASSERT_NE(nbdkit, nullptr);
  SharedNbdkitTarget target(*nbdkit);
  auto session = target.open("");
  ASSERT_TRUE(session.has_value()) << session.error().message;
  std::array<int, 2> errors{-1, -1};
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < 2; ++t)
    threads.emplace_back([&, t] {
      std::array<std::byte, 512> data{};
      errors.at(t) = (*session)->read(data, 512U * t, 0).error;
    });
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(errors, (std::array{0, 0}));
}

TEST_F(SharedNbdkit, NobodyWaitsForAServerThatIsGone) {
  const auto nbdkit = started(RAMDISK_PLUGIN, {"size=1M"});
  ASSERT_NE(nbdkit, nullptr);
  SharedNbdkitTarget target(*nbdkit);
  auto session = target.open("");
  ASSERT_TRUE(session.has_value()) << session.error().message;
  std::atomic<int> served = 0;
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      std::array<std::byte, 512> data{};
      int error = 0;
      while ((error = (*session)->read(data, 0, 0).error) == 0) ++served;
      EXPECT_EQ(error, ENOTCONN);
    });
  while (served < 100) std::this_thread::yield();
  ::kill(nbdkit->pid(), SIGKILL);
  for (auto& thread : threads) thread.join();
  EXPECT_NE(target.lost(), "");
  std::array<std::byte, 512> data{};
  EXPECT_EQ((*session)->read(data, 0, 0).error, ENOTCONN);
}

}  // namespace
}  // namespace nbdcheck
