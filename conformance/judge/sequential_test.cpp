// Histories made by hand: what is right passes, what is wrong gets the rule,
// the culprit and the evidence a person needs.
#include "judge/sequential.hpp"

#include <gtest/gtest.h>

#include "model/tags.hpp"

namespace nbdcheck {
namespace {

constexpr std::uint64_t size = 1 << 20;
using Bytes = std::vector<std::byte>;

Bytes filled(std::size_t count, int value) { return Bytes(count, static_cast<std::byte>(value)); }

class Scene {
 public:
  explicit Scene(ViewRules rules = {}) : judge(size, rules) { open(0); }

  void open(int c) { enter({.kind = OpKind::open, .connection = byte(c)}); }
  void close(int c) { enter({.kind = OpKind::close, .connection = byte(c)}); }
  void flush(int c = 0) { enter({.kind = OpKind::flush, .connection = byte(c)}); }
  std::uint32_t change(OpKind kind, std::uint64_t offset, std::uint32_t count, int c = 0,
                       int error = 0, Payload payload = Payload::tags) {
    Operation op{.kind = kind, .payload = payload, .connection = byte(c)};
    op.offset = offset;
    op.count = count;
    op.tag = next_tag++;
    enter(op, error);
    return op.tag;
  }
  void cache(std::uint64_t offset, std::uint32_t count) {
    Operation op{.kind = OpKind::cache};
    op.offset = offset;
    op.count = count;
    enter(op);
  }
  // The rule a read of `data` breaks; "" when it is right.
  std::string reads(std::uint64_t offset, const Bytes& data, int c = 0) {
    Operation op{.kind = OpKind::read, .connection = byte(c)};
    op.offset = offset;
    op.count = static_cast<std::uint32_t>(data.size());
    const auto mismatch = judge.enter(op, 0, data);
    if (!mismatch) return "";
    violation = judge.explain(*mismatch, data);
    return violation.rule;
  }
  static Bytes tagged(std::uint32_t tag, std::uint64_t offset, std::size_t count) {
    Bytes data(count);
    fill_tags(data, offset, tag);
    return data;
  }

  SequentialJudge judge;
  Violation violation;
  std::uint32_t next_tag = 1;

 private:
  static std::uint8_t byte(int c) { return static_cast<std::uint8_t>(c); }
  void enter(const Operation& op, int error = 0) { judge.enter(op, error, {}); }
};

TEST(SequentialJudge, WhatIsRightPasses) {
  Scene scene;
  EXPECT_EQ(scene.reads(0, filled(100, 3)), "") << "contents nobody wrote are learnt";
  EXPECT_EQ(scene.reads(0, filled(100, 3)), "");
  const auto tag = scene.change(OpKind::write, 10, 50);
  EXPECT_EQ(scene.reads(10, Scene::tagged(tag, 10, 50)), "");
  scene.change(OpKind::zero, 20, 10);
  EXPECT_EQ(scene.reads(20, filled(10, 0)), "");
  scene.change(OpKind::trim, 20, 10);
  EXPECT_EQ(scene.reads(20, filled(10, 99)), "") << "trimmed contents are unspecified";
  scene.change(OpKind::write, 0, 10, 0, 0, Payload::ones);
  EXPECT_EQ(scene.reads(0, filled(10, 0xff)), "");
  scene.change(OpKind::write, 0, 10, 0, 0, Payload::zeroes);
  EXPECT_EQ(scene.reads(0, filled(10, 0)), "");
  scene.change(OpKind::write, 0, 10, 0, EIO, Payload::ones);
  EXPECT_EQ(scene.reads(0, filled(10, 0)), "");
  EXPECT_EQ(scene.reads(0, filled(10, 0xff)), "") << "a failed write leaves old or new";
  EXPECT_EQ(scene.judge.history().size(), 16U);
}

TEST(SequentialJudge, AFailedReadProvesNothing) {
  Scene scene;
  scene.change(OpKind::write, 0, 10);
  Operation op{.kind = OpKind::read, .count = 10};
  EXPECT_FALSE(scene.judge.enter(op, EIO, filled(10, 1)));
  EXPECT_EQ(scene.judge.history().back().error, EIO);
}

TEST(SequentialJudge, ALostWrite) {
  Scene scene;
  const auto old = scene.change(OpKind::write, 0, 64);
  scene.change(OpKind::write, 0, 64);
  EXPECT_EQ(scene.reads(0, Scene::tagged(old, 0, 64)), "data.read-your-writes");
  EXPECT_NE(scene.violation.message.find("offset 0"), std::string::npos);
  EXPECT_NE(scene.violation.expected.find("[3]"), std::string::npos) << scene.violation.expected;
  EXPECT_NE(scene.violation.actual.find("the data of [2]"), std::string::npos)
      << scene.violation.actual;
  EXPECT_FALSE(scene.violation.details.empty());
}

TEST(SequentialJudge, OneWrongByteIsCountedAndMarked) {
  Scene scene;
  const auto tag = scene.change(OpKind::write, 4096, 512);
  Bytes data = Scene::tagged(tag, 4096, 512);
  data[300] ^= std::byte{0x40};
  EXPECT_EQ(scene.reads(4096, data), "data.read-your-writes");
  EXPECT_NE(scene.violation.message.find("4396"), std::string::npos) << scene.violation.message;
  EXPECT_NE(scene.violation.message.find("byte 300"), std::string::npos);
  EXPECT_NE(scene.violation.message.find("first of 1 wrong byte "), std::string::npos)
      << scene.violation.message;
}

TEST(SequentialJudge, DataInTheWrongPlaceTellsHowFarOff) {
  Scene scene;
  const auto tag = scene.change(OpKind::write, 4096, 1024);
  EXPECT_EQ(scene.reads(4096, Scene::tagged(tag, 4096 + 512, 512)), "data.read-your-writes");
  EXPECT_NE(scene.violation.actual.find("512 bytes further on"), std::string::npos)
      << scene.violation.actual;
  EXPECT_EQ(scene.reads(4096 + 512, Scene::tagged(tag, 4096, 512)), "data.read-your-writes");
  EXPECT_NE(scene.violation.actual.find("512 bytes further back"), std::string::npos);
  // Shifted by a number of bytes that is no multiple of a word.
  EXPECT_EQ(scene.reads(4096, Scene::tagged(tag, 4096 + 3, 512)), "data.read-your-writes");
  EXPECT_NE(scene.violation.actual.find("3 bytes further on"), std::string::npos)
      << scene.violation.actual;
}

TEST(SequentialJudge, ZeroesWhereDataShouldBe) {
  Scene scene;
  scene.change(OpKind::write, 0, 64);
  EXPECT_EQ(scene.reads(0, filled(64, 0)), "data.read-your-writes");
  EXPECT_EQ(scene.violation.actual, "zeroes");
  scene.reads(0, filled(64, 0x77));
  EXPECT_EQ(scene.violation.actual, "data that none of these operations wrote there");
}

TEST(SequentialJudge, ZeroThatDoesNotZero) {
  Scene scene;
  const auto tag = scene.change(OpKind::write, 0, 64);
  scene.change(OpKind::zero, 0, 64);
  EXPECT_EQ(scene.reads(0, Scene::tagged(tag, 0, 64)), "zero.reads-zero");
  scene.flush();
  EXPECT_EQ(scene.reads(0, Scene::tagged(tag, 0, 64)), "zero.reads-zero");
}

TEST(SequentialJudge, ANeighbourThatSuffersIsBlamedOnTheLastChange) {
  for (const auto& [kind, rule] : {std::pair{OpKind::write, "data.nothing-outside"},
                                   std::pair{OpKind::zero, "zero.nothing-outside"},
                                   std::pair{OpKind::trim, "trim.nothing-outside"}}) {
    Scene scene;
    scene.change(OpKind::write, 0, 512);
    scene.change(kind, 512, 512);
    EXPECT_EQ(scene.reads(0, filled(512, 0)), rule);
    EXPECT_EQ(scene.reads(0, filled(512, 0x33)), rule) << "whatever the wrong data are";
  }
}

TEST(SequentialJudge, CacheAndFlushChangeNothing) {
  Scene scene;
  scene.change(OpKind::write, 0, 512);
  scene.cache(0, 512);
  EXPECT_EQ(scene.reads(0, filled(512, 0x33)), "cache.harmless");
  Scene other;
  other.change(OpKind::write, 0, 512);
  other.flush();
  EXPECT_EQ(other.reads(0, filled(512, 0x33)), "flush.harmless");
}

TEST(SequentialJudge, ContentsNobodyWroteThatChange) {
  Scene scene;
  EXPECT_EQ(scene.reads(0, filled(512, 1)), "");
  EXPECT_EQ(scene.reads(0, filled(512, 2)), "data.stable-contents");
  EXPECT_NE(scene.violation.expected.find("earlier read"), std::string::npos);
}

TEST(SequentialJudge, WhatWasFlushedIsGoneAfterReopening) {
  Scene scene;
  scene.change(OpKind::write, 0, 512);
  scene.flush();
  scene.close(0);
  scene.open(0);
  EXPECT_EQ(scene.reads(0, filled(512, 0)), "handle.persistence");
}

TEST(SequentialJudge, WithMultiConnAnothersFlushedWriteIsMissing) {
  Scene scene({.shared = true, .multi_conn = true});
  scene.open(1);
  scene.change(OpKind::write, 0, 512, 0);
  EXPECT_EQ(scene.reads(0, filled(512, 0), 1), "") << "not flushed yet";
  scene.flush(1);
  EXPECT_EQ(scene.reads(0, filled(512, 0x44), 1), "handle.multi-conn");
}

TEST(SequentialJudge, AnotherConnectionSpoilsOurData) {
  Scene scene({.shared = false});
  scene.open(1);
  const auto mine = scene.change(OpKind::write, 0, 512, 0);
  const auto theirs = scene.change(OpKind::write, 0, 512, 1);
  EXPECT_EQ(scene.reads(0, Scene::tagged(mine, 0, 512), 0), "");
  EXPECT_EQ(scene.reads(0, Scene::tagged(theirs, 0, 512), 0), "handle.independent");
}

TEST(SequentialJudge, ExtentsThatLie) {
  Scene scene;
  const auto judge = [&](std::uint32_t type) {
    ExtentList list(0, size);
    list.add(0, 4096, 0);
    list.add(4096, size - 4096, type);
    return scene.judge.judge_extents(0, list);
  };
  EXPECT_FALSE(judge(extent_type::zero)) << "nothing is known of these bytes";
  scene.change(OpKind::write, 0, 4096);
  scene.change(OpKind::zero, 4096, size - 4096);
  EXPECT_FALSE(judge(extent_type::zero));
  EXPECT_FALSE(judge(extent_type::zero | extent_type::hole));
  scene.change(OpKind::write, 8000, 1);
  EXPECT_FALSE(judge(0));
  EXPECT_FALSE(judge(extent_type::hole)) << "a hole need not read as zero";
  for (const std::uint32_t type : {extent_type::zero, extent_type::zero | extent_type::hole}) {
    const auto lie = judge(type);
    ASSERT_TRUE(lie);
    EXPECT_EQ(lie->rule, "extents.no-lie");
    EXPECT_NE(lie->message.find("8000"), std::string::npos) << lie->message;
  }
}

TEST(HexAround, ShowsTheLinesAroundAndMarksTheByte) {
  ReferenceDisk disk(size);
  disk.set(0, 4096, Content::filled(0xab, 1));
  Bytes data = filled(64, 0xab);
  data[37] = std::byte{0xcd};
  const auto lines = hex_around(100 + 37, data, 100, disk);
  ASSERT_FALSE(lines.empty());
  ASSERT_EQ(lines.size() % 2, 0U);
  std::string all;
  for (const std::string& line : lines) all += line + "\n";
  EXPECT_NE(all.find(">cd"), std::string::npos) << all;
  EXPECT_EQ(all.find('>'), all.rfind('>')) << all;
  EXPECT_NE(all.find("000000000080  expected"), std::string::npos) << all;
}

TEST(HexAround, StaysWithinTheData) {
  ReferenceDisk disk(size);
  for (std::uint64_t begin : {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{15}, size - 40}) {
    for (std::size_t count = 1; count <= 40; ++count) {
      const Bytes data = filled(count, 1);
      for (std::uint64_t at = begin; at < begin + count; ++at) {
        const auto lines = hex_around(at, data, begin, disk);
        EXPECT_LE(lines.size(), 6U);
        std::size_t marks = 0;
        for (const std::string& line : lines) marks += line.find('>') == std::string::npos ? 0 : 1;
        EXPECT_EQ(marks, 1U);
      }
    }
  }
}

}  // namespace
}  // namespace nbdcheck
