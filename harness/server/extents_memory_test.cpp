// What a plugin makes of it when nbdkit has no memory for its map.
#include <cerrno>

#include "nbdcheck/abi.hpp"
#include "server/requests_test.hpp"

namespace nbdcheck::test {
namespace {

constexpr std::uint64_t size = 1 << 20;

using ExtentsMemory = Requests;

TEST_F(ExtentsMemory, LastsForSomeCalls) {
  add(Callback::extents);
  begin();
  unsigned succeeded = 0;
  bool stop = true;
  script.extents = [&](nbdkit_extents* list, std::uint32_t count, std::uint64_t offset) {
    succeeded = 0;
    script.returns[Callback::extents] = 0;
    for (std::uint64_t at = offset; at < offset + count; at += 512) {
      if (nbdkit_add_extent(list, at, 512, at / 512 % 2) == 0) {
        ++succeeded;
      } else if (stop) {
        script.returns[Callback::extents] = -1;
        return;
      }
    }
  };
  for (const unsigned room : {0U, 1U, 3U}) {
    stop = true;
    EXPECT_EQ(connection->extents_without_memory(4096, 0, room).error, ENOMEM);
    EXPECT_EQ(succeeded, room);
    running->recorder.clear();
    stop = false;
    EXPECT_EQ(connection->extents_without_memory(4096, 0, room).error, ENOMEM);
    EXPECT_EQ(running->recorder.errors().size(), 1U) << "also where it goes on asking";
    running->recorder.clear();
  }
  EXPECT_TRUE(connection->extents_without_memory(4096, 0, 8).ok());
  ExtentList list(0, size);
  EXPECT_TRUE(connection->extents(4096, 0, 0, list).ok());
  EXPECT_EQ(list.extents().size(), 8U);
  EXPECT_EQ(incidents(), Incidents{}) << "what it does then is no breach";
}

}  // namespace
}  // namespace nbdcheck::test
