#include "execute/concurrent.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <set>
#include <thread>

#include "model/tags.hpp"

namespace nbdcheck {
namespace {

// A disk under a lock that notes who came, and how many at once.
class Disk final : public Target {
 public:
  tl::expected<std::unique_ptr<Session>, Failure> open(std::string_view) override {
    if (refuses) return tl::unexpected(Failure{Callback::open, "no", true, 0});
    return std::make_unique<Handle>(*this);
  }

  bool refuses = false;
  std::mutex mutex;
  std::condition_variable changed;
  int inside = 0;  // that came so far
  int wanted = 0;
  bool all_here = true;
  std::set<std::thread::id> threads;
  int closed = 0;
  std::vector<std::byte> bytes = std::vector<std::byte>(65536);

 private:
  class Handle final : public Session {
   public:
    explicit Handle(Disk& disk) : disk_(disk) {}
    ~Handle() override { ++disk_.closed; }
    const ExportInfo& info() const override { return info_; }
    Reply read(std::span<std::byte> to, std::uint64_t offset, std::uint32_t) override {
      return at_once([&] { std::memcpy(to.data(), disk_.bytes.data() + offset, to.size()); });
    }
    Reply write(std::span<const std::byte> from, std::uint64_t offset, std::uint32_t) override {
      return at_once([&] { std::memcpy(disk_.bytes.data() + offset, from.data(), from.size()); });
    }
    Reply flush() override { return {EIO, true}; }
    Reply trim(std::uint32_t, std::uint64_t, std::uint32_t) override { return {}; }
    Reply zero(std::uint32_t, std::uint64_t, std::uint32_t) override { return {}; }
    Reply cache(std::uint32_t, std::uint64_t) override { return {}; }
    Reply extents(std::uint32_t, std::uint64_t, std::uint32_t, ExtentList&) override { return {}; }

   private:
    template <typename Work>
    Reply at_once(Work&& work) {
      std::unique_lock lock(disk_.mutex);
      disk_.threads.insert(std::this_thread::get_id());
      ++disk_.inside;
      disk_.changed.notify_all();
      // Nobody leaves before so many have come.
      disk_.all_here = disk_.changed.wait_for(lock, std::chrono::seconds(20), [this] {
        return disk_.inside >= disk_.wanted;
      }) && disk_.all_here;
      work();
      return {0, true};
    }
    Disk& disk_;
    ExportInfo info_;
  };
};

Operation make(OpKind kind, unsigned thread, unsigned round, std::uint64_t offset = 0,
               std::uint32_t count = 512) {
  Operation op{.kind = kind};
  if (has_range(kind)) {
    op.offset = offset;
    op.count = count;
  }
  op.thread = static_cast<std::uint8_t>(thread);
  op.round = static_cast<std::uint16_t>(round);
  return op;
}

Operation write(std::uint32_t tag, unsigned thread, unsigned round, std::uint64_t offset = 0) {
  Operation op = make(OpKind::write, thread, round, offset);
  op.tag = tag;
  return op;
}

TEST(ConcurrentRunner, RoundsFollowEachOther) {
  Disk disk;
  ConcurrentRunner runner(disk, disk.bytes.size(), {});
  std::vector<Operation> plan{make(OpKind::open, 0, 0)};
  for (unsigned round = 1; round < 50; ++round)
    for (unsigned thread = 0; thread < 4; ++thread)
      plan.push_back(write(round * 4 + thread, thread, round, thread * 512));
  for (unsigned thread = 0; thread < 4; ++thread)
    plan.push_back(make(OpKind::read, thread, 50, (3 - thread) * 512));
  const auto history = runner.run(plan, 1);
  ASSERT_EQ(history.size(), plan.size());
  for (std::size_t i = 0; i < history.size(); ++i) {
    EXPECT_TRUE(history[i].ok());
    EXPECT_EQ(history[i].operation, plan[i]);
    EXPECT_LE(history[i].begin, history[i].end);
    for (std::size_t j = 0; j < i; ++j)
      if (plan[j].round < plan[i].round) {
        ASSERT_LE(history[j].end, history[i].begin);
      }
  }
  for (unsigned thread = 0; thread < 4; ++thread) {
    const auto& read = history[history.size() - 4 + thread];
    EXPECT_EQ(match_tags(read.data, read.operation.offset, 49 * 4 + 3 - thread), 512U);
  }
  EXPECT_EQ(disk.threads.size(), 4U);
}

TEST(ConcurrentRunner, RunsThemAtOnce) {
  Disk disk;
  disk.wanted = 8;
  ConcurrentRunner runner(disk, disk.bytes.size(), {});
  std::vector<Operation> plan{make(OpKind::open, 0, 0)};
  for (unsigned thread = 0; thread < 8; ++thread) plan.push_back(write(1 + thread, thread, 1));
  runner.run(plan, 1);
  EXPECT_TRUE(disk.all_here);
}

TEST(ConcurrentRunner, OnlyWhatIsOpenIsUsed) {
  Disk disk;
  ConcurrentRunner runner(disk, disk.bytes.size(), {});
  const std::vector<Operation> plan{write(1, 0, 0),
                                    make(OpKind::open, 1, 1),
                                    write(2, 0, 1),  // the other thread's to open
                                    write(3, 1, 1),
                                    make(OpKind::flush, 0, 2),
                                    make(OpKind::close, 1, 3),
                                    make(OpKind::read, 1, 3)};
  const auto history = runner.run(plan, 1);
  const std::vector<bool> done{false, true, false, true, true, true, false};
  for (std::size_t i = 0; i < done.size(); ++i) EXPECT_EQ(history[i].done, done[i]) << i;
  EXPECT_EQ(history[4].error, EIO);
  EXPECT_FALSE(runner.is_open(0));
  EXPECT_EQ(disk.closed, 1);
}

TEST(ConcurrentRunner, StaysOpenUntilItIsTold) {
  Disk disk;
  ConcurrentRunner runner(disk, disk.bytes.size(), {});
  const std::vector<Operation> plan{make(OpKind::open, 0, 0), write(1, 1, 1)};
  runner.run(plan, 1);
  EXPECT_TRUE(runner.is_open(0));
  EXPECT_FALSE(runner.run(plan, 2)[0].done);
  runner.close_all();
  EXPECT_EQ(disk.closed, 1);
  EXPECT_TRUE(runner.run(plan, 3)[0].done);
}

TEST(ConcurrentRunner, SaysWhyNothingIsOpen) {
  Disk disk;
  disk.refuses = true;
  ConcurrentRunner runner(disk, disk.bytes.size(), {});
  const std::vector<Operation> plan{make(OpKind::open, 0, 0), write(1, 1, 1)};
  const auto history = runner.run(plan, 1);
  EXPECT_EQ(history[0].error, EIO);
  EXPECT_FALSE(history[1].done);
  EXPECT_EQ(runner.open_failure(), "no");
}

TEST(ConcurrentRunner, KeepsToTheExport) {
  Disk disk;
  ConcurrentRunner runner(disk, 4096, {});
  const std::vector<Operation> plan{make(OpKind::open, 0, 0), make(OpKind::read, 1, 1, 4096),
                                    make(OpKind::read, 0, 1, 3584)};
  const auto history = runner.run(plan, 1);
  EXPECT_FALSE(history[1].done);
  EXPECT_TRUE(history[2].done);
}

}  // namespace
}  // namespace nbdcheck
