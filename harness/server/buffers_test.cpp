#include "server/buffers.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <random>
#include <thread>

#include "nbdcheck/status_page.hpp"
#include "server/test_plugin.hpp"

namespace nbdcheck::test {
namespace {

class Buffers : public ::testing::TestWithParam<BufferMode> {
 protected:
  void SetUp() override {
    reset();
    add(Callback::pwrite);
    script.size = std::int64_t{1} << 30;
    running = std::make_unique<Running>();
    connection = &running->open();
    connection->set_buffer_mode(GetParam());
    running->recorder.clear();
    take_log();
  }
  Incidents incidents() { return running->recorder.incidents(); }

  std::unique_ptr<Running> running;
  Connection* connection = nullptr;
};

INSTANTIATE_TEST_SUITE_P(Guarded, Buffers,
                         ::testing::Values(BufferMode::guarded, BufferMode::guarded_odd));

TEST_P(Buffers, DataGoThrough) {
  std::byte next{1};
  script.fill = [&](std::byte* data, std::uint32_t count) {
    std::byte value{1};
    for (std::uint32_t i = 0; i < count; ++i) {
      data[i] = value;
      value = static_cast<std::byte>(std::to_integer<int>(value) * 5 + 3);
    }
  };
  std::vector<std::byte> taken;
  script.take = [&](const std::byte* data, std::uint32_t count) {
    taken.assign(data, data + count);
  };
  for (const std::size_t size :
       std::initializer_list<std::size_t>{1, 15, 16, 511, 4096, 4097, 65536}) {
    std::vector<std::byte> data(size);
    EXPECT_TRUE(connection->read(data, 0).ok());
    next = std::byte{1};
    for (const std::byte byte : data) {
      ASSERT_EQ(byte, next);
      next = static_cast<std::byte>(std::to_integer<int>(next) * 5 + 3);
    }
    EXPECT_TRUE(connection->write(data, 0).ok());
    EXPECT_EQ(taken, data);
  }
  EXPECT_EQ(incidents(), Incidents{});
}

TEST_P(Buffers, PlacedAgainstTheGuard) {
  std::uintptr_t at = 0;
  script.fill = [&](std::byte* data, std::uint32_t count) {
    at = reinterpret_cast<std::uintptr_t>(data);
    std::memset(data, 0, count);
  };
  std::byte block[509];
  EXPECT_TRUE(connection->read(block, 0).ok());
  EXPECT_GE(at, status_page().guard_begin.load());
  EXPECT_LT(at, status_page().guard_end.load());
  if (GetParam() == BufferMode::guarded) {
    EXPECT_EQ(at % 16, 0U);
  } else {
    EXPECT_EQ((at + sizeof block) % 4096, 0U);
  }
}

TEST_P(Buffers, LargestRequests) {
  std::vector<std::byte> data(max_request_size);
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(connection->read(data, 0).ok());
    EXPECT_TRUE(connection->write(data, 0).ok());
  }
  EXPECT_EQ(incidents(), Incidents{});
}

TEST_P(Buffers, UnsetBytesAreFound) {
  script.fill = [](std::byte* data, std::uint32_t count) {
    std::memset(data, 0xa5, count / 2);  // the first poison is no proof
    std::memset(data + count / 2 + 1, 0, count - count / 2 - 1);
  };
  std::byte block[1024];
  EXPECT_TRUE(connection->read(block, 0).ok());
  EXPECT_EQ(incidents(), Incidents{IncidentKind::buffer_unfilled});
  EXPECT_EQ(take_log().size(), 6U);
}

TEST_P(Buffers, RandomContentsAreNoUnsetBytes) {
  std::mt19937 random(42);
  script.fill = [&](std::byte* data, std::uint32_t count) {
    for (std::uint32_t i = 0; i < count; ++i) data[i] = static_cast<std::byte>(random());
  };
  std::vector<std::byte> block(1 << 20);
  EXPECT_TRUE(connection->read(block, 0).ok());
  EXPECT_EQ(incidents(), Incidents{});
}

TEST_P(Buffers, CleanReadsAreNotRepeated) {
  std::byte block[4096];
  EXPECT_TRUE(connection->read(block, 0).ok());
  EXPECT_EQ(take_log().size(), 1U);
}

TEST_P(Buffers, FailedReadsAreNotRepeated) {
  script.returns[Callback::pread] = -1;
  script.sets_error[Callback::pread] = ENOMEM;
  std::byte block[4096];
  EXPECT_EQ(connection->read(block, 0).error, ENOMEM);
  EXPECT_EQ(take_log().size(), 1U);
  EXPECT_EQ(incidents(), Incidents{});
}

TEST_P(Buffers, WritesBesideTheBufferAreSeen) {
  script.fill = [](std::byte* data, std::uint32_t count) {
    std::memset(data, 0, count);
    data[-1] = std::byte{0};
  };
  std::byte block[500];
  EXPECT_TRUE(connection->read(block, 0).ok());
  EXPECT_EQ(incidents(), Incidents{IncidentKind::buffer_overrun});
}

TEST_P(Buffers, ThreadsDoNotMeet) {
  script.fill = [](std::byte* data, std::uint32_t count) {
    static std::atomic<int> next{1};
    const int mine = next++ & 0x3f;  // never a poison
    std::memset(data, mine, count);
    std::this_thread::yield();
    for (std::uint32_t i = 0; i < count; ++i) ASSERT_EQ(data[i], std::byte(mine));
  };
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      std::vector<std::byte> data(20000);
      for (int i = 0; i < 50; ++i) EXPECT_TRUE(connection->read(data, 0).ok());
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(incidents(), Incidents{});
}

using BuffersDeathTest = Buffers;

INSTANTIATE_TEST_SUITE_P(Guarded, BuffersDeathTest,
                         ::testing::Values(BufferMode::guarded, BufferMode::guarded_odd));

TEST_P(BuffersDeathTest, Faults) {
  std::byte block[512] = {};
  script.fill = [](std::byte* data, std::uint32_t count) {
    // Volatile, lest the compiler see through it.
    static_cast<volatile std::byte*>(data)[count + 15] = std::byte{1};
  };
  EXPECT_DEATH(connection->read(block, 0), "");
  script.take = [](const std::byte* data, std::uint32_t) {
    *const_cast<volatile std::byte*>(data) = std::byte{1};
  };
  EXPECT_DEATH(connection->write(block, 0), "");

  const std::byte* kept = nullptr;
  script.take = [&](const std::byte* data, std::uint32_t) { kept = data; };
  EXPECT_TRUE(connection->write(block, 0).ok());
  script.take = nullptr;
  for (int i = 0; i < 40; ++i) EXPECT_TRUE(connection->write(block, 0).ok());
  EXPECT_DEATH(
      {
        const std::byte byte = *static_cast<const volatile std::byte*>(kept);
        std::exit(std::to_integer<int>(byte) == 256 ? 1 : 0);
      },
      "");
}

// Blocks of zeroes for .pwrite are read-only too.
TEST(ZeroBlock, FaultsWhenWritten) {
  for (const BufferMode mode : {BufferMode::direct, BufferMode::guarded_odd}) {
    const void* zeroes = zero_block(100, mode);
    EXPECT_DEATH(*static_cast<volatile char*>(const_cast<void*>(zeroes)) = 1, "");
  }
}

}  // namespace
}  // namespace nbdcheck::test
