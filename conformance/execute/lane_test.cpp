#include "execute/lane.hpp"

#include <gtest/gtest.h>

#include <stdexcept>
#include <vector>

namespace nbdcheck {
namespace {

TEST(Lane, RunsEverythingInOrderOnOneThreadOfItsOwn) {
  Lane lane;
  std::vector<int> order;
  std::vector<std::thread::id> threads;
  for (int i = 0; i < 100; ++i)
    lane.run([&, i] {
      order.push_back(i);
      threads.push_back(std::this_thread::get_id());
    });
  ASSERT_EQ(order.size(), 100U) << "run() waits";
  for (int i = 0; i < 100; ++i) EXPECT_EQ(order[static_cast<std::size_t>(i)], i);
  for (const auto id : threads) EXPECT_EQ(id, threads[0]);
  EXPECT_NE(threads[0], std::this_thread::get_id());
}

TEST(Lane, AnExceptionComesOutOnceAndTheLaneGoesOn) {
  Lane lane;
  EXPECT_THROW(lane.run([] { throw std::runtime_error("x"); }), std::runtime_error);
  int ran = 0;
  EXPECT_NO_THROW(lane.run([&] { ++ran; }));
  EXPECT_EQ(ran, 1);
}

TEST(Lane, UnusedLanesEnd) {
  for (int i = 0; i < 50; ++i) const Lane lane;
}

}  // namespace
}  // namespace nbdcheck
