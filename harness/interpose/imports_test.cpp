// Noise and LockWatch, on a library of small functions.
#include <dlfcn.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <thread>

#include "nbdcheck/closes.hpp"
#include "nbdcheck/locks.hpp"
#include "nbdcheck/noise.hpp"
#include "nbdcheck/step.hpp"

// ThreadSanitizer would tell of the very races and orders that these provoke.
#if !defined(__SANITIZE_THREAD__)

namespace nbdcheck {
namespace {

void* symbol(const char* name) {
  static void* library = ::dlopen(IMPORTS_FIXTURE, RTLD_NOW);
  return library != nullptr ? ::dlsym(library, name) : nullptr;
}
using Function = long (*)(long);
Function function(const char* name) { return reinterpret_cast<Function>(symbol(name)); }
Code code() { return Code::of_plugin(symbol("count")); }

void on_thread(const char* name) { std::thread(function(name), 0).join(); }

long lost(const char* name, int rounds) {
  const auto counted = reinterpret_cast<long (*)()>(symbol("counted"));
  const long before = counted();
  const auto work = [&] {
    for (int i = 0; i < rounds; ++i) function(name)(0);
  };
  std::thread other(work);
  work();
  other.join();
  return before + 2L * rounds - counted();
}

TEST(Noise, ShowsARaceAndLeavesLocksAlone) {
  const Noise noise(code(), {.seed = 1, .intensity = 1});
  EXPECT_GT(noise.imports(), 8u);
  EXPECT_GT(lost("count", 500), 0);
  EXPECT_GT(noise.disturbances(), 10u);
  EXPECT_EQ(lost("count_locked", 500), 0);
}

TEST(Noise, CopiesInTwoPartsAreCopies) {
  const Noise noise(code(), {.seed = 2, .intensity = 1});
  for (long byte = 1; byte < 100; ++byte) EXPECT_EQ(function("copied")(byte), byte);
}

TEST(Noise, IsGoneAfterwards) {
  std::uint64_t before = 0;
  {
    const Noise noise(code(), {.seed = 3, .intensity = 1});
    lost("count", 100);
    before = noise.disturbances();
  }
  lost("count", 100);
  const Noise noise(code(), {.seed = 3, .intensity = 0});
  EXPECT_GT(before, 0u);
  EXPECT_EQ(noise.disturbances(), 0u);
  lost("count", 100);
  EXPECT_EQ(noise.disturbances(), 0u);
}

#if defined(__x86_64__) && !defined(NBDCHECK_SANITIZED)
std::vector<std::uint64_t> instructions_of_count() {
  std::vector<std::uint64_t> places;
  auto stepper = Stepper::attach(code(), {symbol("count")});
  if (!stepper) return places;
  StepThread thread;
  const Recording recording = (*stepper)->record(
      thread, [] { function("count")(0); }, true);
  for (const StepPoint& point : recording.points) places.push_back(point.address);
  return places;
}

TEST(Noise, StopsThreadsInTheMiddleOfTheCode) {
  const std::vector<std::uint64_t> places = instructions_of_count();
  ASSERT_FALSE(places.empty());
  const Noise noise(code(), {.seed = 4, .intensity = 0, .places = places});
  long found = 0;
  for (int i = 0; i < 100 && found == 0; ++i) found = lost("count", 2000);
  EXPECT_GT(found, 0);
  EXPECT_GT(noise.disturbances(), 0u);
  EXPECT_EQ(lost("count_locked", 200), 0);
}

// Another thread may have been about to take one down when the process forked.
TEST(Noise, LeavesNoBreakpointInACopyOfTheProcess) {
  const std::vector<std::uint64_t> places = instructions_of_count();
  ASSERT_FALSE(places.empty());
  const Noise noise(code(), {.seed = 6, .intensity = 0, .places = places});
  const pid_t copy = ::fork();
  if (copy == 0) {
    ::alarm(20);
    for (const std::uint64_t place : places)
      *reinterpret_cast<volatile std::uint8_t*>(place) = 0xcc;
    function("count")(0);
    ::_exit(0);
  }
  int status = -1;
  ASSERT_EQ(::waitpid(copy, &status, 0), copy);
  EXPECT_EQ(status, 0) << "killed by " << WTERMSIG(status);
}
#endif

TEST(CloseWatch, SeesWhatIsClosedTwice) {
  const CloseWatch watch(code());
  function("close_once")(0);
  function("close_twice_in_a_child")(0);
  EXPECT_TRUE(watch.bad().empty());
  function("close_twice")(0);
  const auto bad = watch.bad();
  ASSERT_EQ(bad.size(), 1u);
  EXPECT_GT(bad.front().descriptor, 2);
  EXPECT_TRUE(code().contains(bad.front().at));
  EXPECT_EQ(bad.front().where, Callback::count_) << "in no callback";
}

TEST(CloseWatch, IsGoneAfterwards) {
  { const CloseWatch watch(code()); }
  function("close_twice")(0);
  const CloseWatch watch(code());
  EXPECT_TRUE(watch.bad().empty());
}

TEST(Noise, NobodyBlocksTheTrap) {
  const Noise noise(code(), {.seed = 5, .intensity = 0});
  long result = 0;
  std::thread([&] { result = function("blocks_all_signals")(0); }).join();
  EXPECT_EQ(result, 1);
}

std::size_t inversions(std::initializer_list<const char*> calls) {
  const LockWatch watch(code());
  for (const char* call : calls) on_thread(call);
  return watch.inversions().size();
}

TEST(Locks, OrdersThatContradict) {
  EXPECT_EQ(inversions({"one_two", "one_two"}), 0u);
  EXPECT_EQ(inversions({"one_two", "two_one"}), 1u);
  EXPECT_EQ(inversions({"one_two", "two_three", "three_one"}), 1u);
  EXPECT_EQ(inversions({"one_two", "two_three"}), 0u);
}

TEST(Locks, AFurtherLockKeepsThemApart) {
  EXPECT_EQ(inversions({"gate_one_two", "gate_two_one"}), 0u);
  EXPECT_EQ(inversions({"gate_one_two", "two_one"}), 1u);
  EXPECT_EQ(inversions({"reading_one_two", "reading_two_one"}), 1u) << "readers are not apart";
}

TEST(Locks, TryingIsNotWaiting) { EXPECT_EQ(inversions({"one_two", "try_two_one"}), 0u); }

TEST(Locks, ReadersDoNotExcludeEachOther) {
  EXPECT_EQ(inversions({"read_read", "read_read_back"}), 0u);
  EXPECT_EQ(inversions({"read_read", "write_write_back"}), 1u);
}

TEST(Locks, AreForgottenWithTheirMemory) {
  EXPECT_EQ(inversions({"fresh_then_one", "one_then_fresh"}), 0u);
}

TEST(Locks, OneThreadDoesNotWaitForItself) {
  const LockWatch watch(code());
  std::thread([] {
    function("one_two")(0);
    function("two_one")(0);
  }).join();
  EXPECT_TRUE(watch.inversions().empty());
}

TEST(Locks, TellsWhoWaitsForWhom) {
  const auto embrace = [] {
    const LockWatch watch(code());
    std::thread(function("embrace_one"), 0).detach();
    std::thread(function("embrace_two"), 0).detach();
    std::vector<LockCycle> found;
    for (int i = 0; i < 200 && found.empty(); ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
      found = watch.deadlocks();
    }
    const bool right = found.size() == 1 && found[0].steps.size() == 2 &&
                       found[0].steps[0].wanted == found[0].steps[1].held &&
                       found[0].steps[1].wanted == found[0].steps[0].held &&
                       found[0].steps[0].thread != found[0].steps[1].thread;
    ::_exit(right ? 0 : 1);
  };
  EXPECT_EXIT(embrace(), testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace nbdcheck

#endif
