// A test of its own for the plugin, with the server of nbdcheck.
#include <gtest/gtest.h>

#include <nbdcheck/server.hpp>
#ifndef HARNESS_ONLY
#include <nbdcheck/matchers.hpp>
#endif

TEST(MyPlugin, ReadsWhatWasWritten) {
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

#ifndef HARNESS_ONLY
TEST(MyPlugin, KeepsTheContract) {
  nbdcheck::PluginUnderTest plugin(PLUGIN, {"size=1M"});
  EXPECT_THAT(plugin.run(nbdcheck::random_operations(plugin.subject(), 500, 1)),
              nbdcheck::KeepsTheContract());
}
#endif
