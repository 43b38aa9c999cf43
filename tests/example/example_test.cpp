// The example of README.md, kept compiling and true.
#include <gtest/gtest.h>

#include <nbdcheck/server.hpp>

TEST(RamDisk, ReadsWhatWasWritten) {
  nbdcheck::NullObserver observer;
  auto server = nbdcheck::Server::load(PLUGIN, {}, observer);
  ASSERT_TRUE(server) << server.error().message;
  ASSERT_TRUE((*server)->configure(std::vector<std::string>{"size=1M"}));
  ASSERT_TRUE((*server)->start());

  auto connection = (*server)->connect();
  ASSERT_TRUE(connection);
  ASSERT_TRUE((*connection)->open(""));
  const std::vector<std::byte> written(512, std::byte{0x5a});
  std::vector<std::byte> read(512);
  EXPECT_EQ((*connection)->write(written, 4096).error, 0);
  EXPECT_EQ((*connection)->read(read, 4096).error, 0);
  EXPECT_EQ(read, written);

  connection->reset();  // .close
  (*server)->stop();    // .cleanup, .unload
}
