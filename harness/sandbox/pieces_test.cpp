// The pure parts of the sandbox.
#include <gtest/gtest.h>

#include "sandbox/describe.hpp"
#include "sandbox/stacks.hpp"
#include "sandbox/watch.hpp"

namespace nbdcheck::sandbox {
namespace {

TEST(TailTest, KeepsTheLast64KiB) {
  Tail tail;
  tail.append(std::string(100'000, 'a'));
  tail.append("end");
  const std::string kept = tail.take();
  EXPECT_EQ(kept.size(), 65536U);
  EXPECT_TRUE(kept.ends_with("aend"));
}

TEST(LinesTest, JoinsPiecesAndSkipsNudges) {
  Lines lines;
  std::vector<std::string> got;
  const auto keep = [&got](std::string_view line) { got.emplace_back(line); };
  lines.append("on", keep);
  lines.append("e\n\ntwo\nthr", keep);
  EXPECT_EQ(got, (std::vector<std::string>{"one", "two"}));
  lines.append("ee\n", keep);
  EXPECT_EQ(got.back(), "three");
}

TEST(TrimTest, StartsAtTheCrash) {
  std::vector<StackFrame> frames{
      {1, "handler", "", ""}, {2, "guilty", "", ""}, {3, "main", "", ""}};
  trim_to_blame(frames, 2);
  ASSERT_EQ(frames.size(), 2U);
  EXPECT_EQ(frames[0].function, "guilty");
}

TEST(TrimTest, SkipsTheMessenger) {
  std::vector<StackFrame> frames{
      {1, "pthread_kill", "", ""}, {2, "raise", "", ""}, {3, "abort", "", ""}};
  trim_to_blame(frames, 1);
  ASSERT_EQ(frames.size(), 1U);
  EXPECT_EQ(frames[0].function, "abort");
}

TEST(DescribeTest, FlagsByName) {
  CallSlot slot{};
  slot.thread_id = 1;
  slot.callback = static_cast<std::uint8_t>(Callback::zero);
  slot.count = 512;
  slot.offset = 1024;
  slot.flags = 1 | 2 | 64;
  EXPECT_EQ(describe_call(slot), ".zero(count=512, offset=1024, flags=MAY_TRIM|FUA|0x40)");
  slot.returned = 1;
  EXPECT_EQ(describe_call(slot), "");
}

}  // namespace
}  // namespace nbdcheck::sandbox
