#include <gtest/gtest.h>

#include "nbdcheck/target.hpp"
#include "server/test_plugin.hpp"

namespace nbdcheck::test {
namespace {

TEST(InProcessTarget, OneSessionOneConnection) {
  reset();
  add_all();
  script.extents = [](nbdkit_extents* list, std::uint32_t count, std::uint64_t offset) {
    nbdkit_add_extent(list, offset, count, 0);
  };
  Running running;
  InProcessTarget target(*running.server);
  take_log();
  auto session = target.open("x").value();
  EXPECT_EQ(session->info().name, "x");
  take_log();
  std::byte block[512] = {};
  ExtentList list(0, 0);
  EXPECT_TRUE(session->read(block, 0, 0).ok());
  EXPECT_TRUE(session->write(block, 0, command_flag::fua).ok());
  EXPECT_TRUE(session->flush().ok());
  EXPECT_TRUE(session->trim(512, 512, 0).ok());
  EXPECT_TRUE(session->zero(512, 1024, command_flag::no_hole).ok());
  EXPECT_TRUE(session->cache(512, 1536).ok());
  EXPECT_TRUE(session->extents(512, 0, 0, list).ok());
  session.reset();
  EXPECT_EQ(take_log(), (Words{"pread 512 0", "pwrite 512 0", "flush", "flush", "trim 512 512",
                               "zero 512 1024", "pread 512 1536", "extents 512 0", "close"}));
}

TEST(InProcessTarget, FailuresComeThrough) {
  reset();
  script.returns[Callback::open] = -1;
  Running running;
  InProcessTarget target(*running.server);
  const auto session = target.open("x");
  ASSERT_FALSE(session);
  EXPECT_EQ(session.error().where, Callback::open);
}

}  // namespace
}  // namespace nbdcheck::test
