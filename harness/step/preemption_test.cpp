#include "nbdcheck/preemption.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <ctime>
#include <thread>

#include "nbdcheck/sandbox.hpp"
#include "nbdcheck/status_page.hpp"

namespace nbdcheck {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::seconds;

// Computes for as long as `more` says, on a thread of its own.
template <typename More>
void compute(bool in_callback, More&& more) {
  std::thread thread([&] {
    prepare_thread();
    const PreemptedThread preempted;
    CallSlot& slot = my_slot();
    slot.callback = in_callback ? 1 : 0;
    while (more()) {
    }
    slot.callback = 0;
  });
  thread.join();
}

class PreemptionTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!preemption_.unavailable().empty()) GTEST_SKIP() << preemption_.unavailable();
  }
  Preemption preemption_{{.seed = 1, .period_nanoseconds = 20'000}};
};

TEST_F(PreemptionTest, ThreadsInCallbacksWait) {
  const auto end = Clock::now() + seconds(60);
  compute(true, [&] { return preemption_.count() < 20 && Clock::now() < end; });
  EXPECT_GE(preemption_.count(), 20u);
}

TEST_F(PreemptionTest, OursDoNot) {
  const auto end = Clock::now() + std::chrono::milliseconds(50);
  compute(false, [&] { return Clock::now() < end; });
  EXPECT_EQ(preemption_.count(), 0u);
}

// A timer's signal would end some of these sleeps.
TEST_F(PreemptionTest, SystemCallsAreLeftAlone) {
  int interrupted = 0;
  int sleeps = 0;
  const auto end = Clock::now() + seconds(60);
  compute(true, [&] {
    for (int i = 0; i < 500; ++i) std::atomic_signal_fence(std::memory_order_seq_cst);
    const timespec moment{0, 20'000};
    if (::nanosleep(&moment, nullptr) != 0) ++interrupted;
    return ++sleeps < 2000 && Clock::now() < end;
  });
  EXPECT_EQ(interrupted, 0);
  EXPECT_GT(preemption_.count(), 0u);
}

TEST(Preemption, IsGoneAfterwards) {
  std::atomic<std::uint64_t> during{0};
  {
    const Preemption preemption({.seed = 1});
    during = preemption.count();
  }
  const auto end = Clock::now() + std::chrono::milliseconds(20);
  compute(true, [&] { return Clock::now() < end; });
  const Preemption again({.seed = 1});
  EXPECT_EQ(again.count(), 0u);
}

}  // namespace
}  // namespace nbdcheck
