#include "checks/leak.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <memory>
#include <vector>

namespace nbdcheck {
namespace {

constexpr std::uint64_t requests = 32;

class Leaks : public ::testing::Test {
 protected:
  ~Leaks() override {
    for (const int descriptor : descriptors) ::close(descriptor);
  }
  Leak leak(const std::function<void()>& request) {
    return find_leak(requests, [&] {
      for (std::uint64_t i = 0; i < requests; ++i) request();
    });
  }
  // Room beforehand: the vectors must not grow while they are measured.
  void SetUp() override {
    descriptors.reserve(4096);
    blocks.reserve(4096);
  }
  void keep_block() { blocks.emplace_back(new char[100]); }
  void keep_descriptor() { descriptors.push_back(::open("/dev/null", O_RDONLY | O_CLOEXEC)); }

  std::vector<int> descriptors;
  std::vector<std::unique_ptr<char[]>> blocks;
};

TEST_F(Leaks, NothingIsNoLeak) {
  EXPECT_EQ(leak([] {}).of, Leak::Of::nothing);
  EXPECT_EQ(leak([] { ::close(::open("/dev/null", O_RDONLY | O_CLOEXEC)); }).of, Leak::Of::nothing);
}

TEST_F(Leaks, DescriptorsAreCounted) {
  const Leak found = leak([&] { keep_descriptor(); });
  EXPECT_EQ(found.of, Leak::Of::descriptors);
  EXPECT_EQ(found.per_request, 1U);
}

#if !defined(__SANITIZE_ADDRESS__) && \
    !defined(__SANITIZE_THREAD__)  // they have a malloc of their own
TEST_F(Leaks, MemoryIsCounted) {
  const Leak found = leak([&] { keep_block(); });
  EXPECT_EQ(found.of, Leak::Of::memory);
  EXPECT_GE(found.per_request, 100U);
}
#endif

// What is set up at the first use, or seldom, stays.
TEST_F(Leaks, CachesAreNoLeak) {
  int n = 0;
  EXPECT_EQ(leak([&] {
              if (++n < 40) keep_block(), keep_descriptor();
            }).of,
            Leak::Of::nothing);
  n = 0;
  EXPECT_EQ(leak([&] {
              if (++n % 100 == 0) keep_block(), keep_descriptor();
            }).of,
            Leak::Of::nothing);
}

}  // namespace
}  // namespace nbdcheck
