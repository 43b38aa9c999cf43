// Tests as people write them, for reference plugins; and what their failures say.
#define NBDKIT_API_VERSION 2
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nbdkit-plugin.h>
#include <rapidcheck/gtest.h>

#include <cerrno>
#include <cstddef>
#include <string>

#include <nbdcheck/matchers.hpp>
#include <nbdcheck/rapidcheck.hpp>
#include <nbdcheck/testing.hpp>

extern "C" struct nbdkit_plugin linked_plugin;

namespace {

using nbdcheck::FailsWith;
using nbdcheck::KeepsTheContract;
using nbdcheck::PluginUnderTest;
using nbdcheck::Returns;
using nbdcheck::ReturnsZeroes;
using nbdcheck::Says;
using nbdcheck::Succeeds;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

const std::string ramdisk = PLUGINS "/ramdisk.so";
const std::string faulty = PLUGINS "/faulty-data.so";

TEST(RamDisk, ReadsWhatWasWritten) {
  PluginUnderTest plugin(ramdisk, {"size=1M"});
  auto client = plugin.connect();
  EXPECT_THAT(client.read(0, 4096), ReturnsZeroes());
  EXPECT_THAT(client.write(4096, std::string(512, 'x')), Succeeds());
  EXPECT_THAT(client.read(4096, 512), Returns(std::string(512, 'x')));
  EXPECT_THAT(client.zero(4096, 256), Succeeds());
  EXPECT_THAT(client.read(4096, 512), Returns(std::string(256, '\0') + std::string(256, 'x')));
}

TEST(RamDisk, ConnectionsShareTheDisk) {
  PluginUnderTest plugin(ramdisk, {"size=1M"});
  auto writer = plugin.connect();
  auto reader = plugin.connect();
  ASSERT_TRUE(writer.info().multi_conn);
  EXPECT_THAT(writer.write(0, "hello", nbdcheck::command_flag::fua), Succeeds());
  EXPECT_THAT(reader.read(0, 5), Returns("hello"));
}

TEST(RamDisk, HolesAreMapped) {
  PluginUnderTest plugin(ramdisk, {"size=1M"});
  auto client = plugin.connect();
  EXPECT_THAT(client.write(0, std::string(65536, 'x')), Succeeds());
  const auto map = client.extents(0, 131072);
  ASSERT_THAT(map, Succeeds());
  ASSERT_GE(map.extents.size(), 2U);
  EXPECT_EQ(map.extents[0].type, 0U);
  EXPECT_EQ(map.extents[1].offset, 65536U);
}

TEST(RamDisk, KeepsTheContract) {
  PluginUnderTest plugin(ramdisk, {"size=1M"});
  EXPECT_THAT(plugin.run(nbdcheck::random_operations(plugin.subject(), 2000, 1)),
              KeepsTheContract());
}

RC_GTEST_PROP(SparseDisk, KeepsTheContract, ()) {
  PluginUnderTest plugin(PLUGINS "/sparse.so", {"size=1M"});
  const auto operations = *nbdcheck::gen::operations(plugin.subject());
  const auto outcome = plugin.run(operations);
  RC_ASSERT(outcome.ok());
}

TEST(Scrutiny, SeesWhatClientsDoNot) {
  const auto rule = [](const std::string& fault, nbdcheck::Scrutiny scrutiny) {
    PluginUnderTest plugin(faulty, {"fault=" + fault, "size=1M"});
    plugin.scrutinise(std::move(scrutiny));
    const auto outcome = plugin.run(nbdcheck::random_operations(plugin.subject(), 300, 1));
    return outcome.ok() ? "" : outcome.violation->rule;
  };
  EXPECT_EQ(rule("return-count", {}), "");
  EXPECT_EQ(rule("return-count", {.incidents = true}), "data.return-value");
  EXPECT_EQ(rule("return-count", {.incidents = true, .ignored = {"data.return-value"}}), "");
  EXPECT_EQ(rule("refuse-long", {.incidents = true}), "");
  EXPECT_EQ(rule("refuse-long", {.second_look = true}), "data.no-needless-error");
  EXPECT_EQ(rule("overrun", {.incidents = true, .buffers = nbdcheck::BufferMode::guarded}),
            "data.buffer-overrun");
}

TEST(LinkedPlugin, IsServedFromItsStructure) {
  PluginUnderTest plugin(linked_plugin, NBDKIT_THREAD_MODEL_SERIALIZE_ALL_REQUESTS);
  auto client = plugin.connect();
  EXPECT_EQ(client.info().size, 65536U);
  EXPECT_THAT(client.write(0, "abc"), Succeeds());
  EXPECT_THAT(client.read(0, 3), Returns("abc"));
  EXPECT_THAT(client.write(65535, "x"), AllOf(FailsWith(ENOSPC), Says("the last sector")));
}

TEST(LinkedPlugin, SaysWhyItDoesNotStart) {
  try {
    PluginUnderTest plugin(linked_plugin, NBDKIT_THREAD_MODEL_PARALLEL, {"colour=red"});
    FAIL() << "it started";
  } catch (const nbdcheck::PluginError& error) {
    EXPECT_STREQ(error.what(), "linked colour=red: .config failed: no parameter colour (red) here");
  }
}

TEST(Missing, IsAnError) {
  EXPECT_THROW(PluginUnderTest("./no-such-plugin.so"), nbdcheck::PluginError);
}

// --- what a failure says -------------------------------------------------------

template <typename Matcher, typename Value>
std::string explanation(const Matcher& matcher, const Value& value) {
  const ::testing::Matcher<Value> whole = matcher;
  ::testing::StringMatchResultListener listener;
  EXPECT_FALSE(whole.MatchAndExplain(value, &listener));
  return ::testing::PrintToString(value) + "\n" + listener.str();
}

TEST(AFailure, SaysWhatWasCalled) {
  PluginUnderTest plugin(linked_plugin, NBDKIT_THREAD_MODEL_SERIALIZE_ALL_REQUESTS);
  auto client = plugin.connect();
  client.write(0, "abc");
  const auto last = client.write(65024, std::string(512, 'x'));
  const std::string text = explanation(Succeeds(), last);
  EXPECT_THAT(text, HasSubstr("write(offset=65024, count=512) on linked failed: No space left"));
  EXPECT_THAT(text, HasSubstr("the plugin said: the last sector is not for writing"));
  EXPECT_THAT(text, HasSubstr("after:\n    write(offset=0, count=3)"));
}

TEST(AFailure, SaysWhichByte) {
  PluginUnderTest plugin(linked_plugin, NBDKIT_THREAD_MODEL_SERIALIZE_ALL_REQUESTS);
  auto client = plugin.connect();
  client.write(0, "abc");
  EXPECT_THAT(explanation(Returns("abd"), client.read(0, 3)),
              HasSubstr("where byte 2 is 63 and not 64"));
  EXPECT_THAT(explanation(ReturnsZeroes(), client.read(0, 3)), HasSubstr("byte 0 is 61"));
  EXPECT_THAT(explanation(Returns("abcd"), client.read(0, 3)), HasSubstr("where 3 bytes came"));
}

TEST(AFaultyPlugin, IsToldWithTheShortestSequence) {
  PluginUnderTest plugin(faulty, {"fault=lost-64k", "size=1M"});
  const auto outcome = plugin.run(nbdcheck::random_operations(plugin.subject(), 2000, 1));
  EXPECT_THAT(outcome, Not(KeepsTheContract()));
  EXPECT_EQ(outcome.violation->rule, "data.read-your-writes");
  EXPECT_EQ(outcome.operations.size(), 2U) << describe(outcome);
  const std::string text = explanation(KeepsTheContract(), outcome);
  EXPECT_THAT(text, HasSubstr("data.read-your-writes broken by "));
  EXPECT_THAT(text, HasSubstr("#0 write("));
  EXPECT_THAT(outcome.plan(), HasSubstr("fault=lost-64k"));
  EXPECT_TRUE(nbdcheck::plan_from_text(outcome.plan()));
}

}  // namespace
