// Each promise of views.hpp, by a scene made by hand.
#include "model/views.hpp"

#include <gtest/gtest.h>

namespace nbdcheck {
namespace {

constexpr std::uint64_t size = 4096;
constexpr ViewRules shared{.shared = true, .multi_conn = false, .reopens = true};
constexpr ViewRules multi_conn{.shared = true, .multi_conn = true, .reopens = true};
constexpr ViewRules per_connection{.shared = false, .multi_conn = false, .reopens = true};

class Scene {
 public:
  explicit Scene(ViewRules rules, std::initializer_list<int> open = {0}) : views_(size, rules) {
    for (const int connection : open) views_.open(connection);
  }
  void open(int c) { views_.open(c); }
  void close(int c) { views_.close(c); }
  void flush(int c) { views_.flush(c); }
  // Writes sixteen bytes of `value`.
  void write(int c, std::uint64_t offset, int value, bool fua = false) {
    views_.set(c, offset, 16, content(value), fua);
  }
  void fails_to_write(int c, std::uint64_t offset, int value) {
    views_.maybe(c, offset, 16, content(value));
  }
  // Whether reading `value` at `offset` is all right; not learnt.
  [[nodiscard]] bool may_read(int c, std::uint64_t offset, int value) const {
    return !views_.of(c).compare(offset, bytes(value));
  }
  bool reads(int c, std::uint64_t offset, int value) {
    return !views_.read(c, offset, bytes(value));
  }
  // Of the values 0 to 9, those that may be read.
  [[nodiscard]] std::string choices(int c, std::uint64_t offset) const {
    std::string all;
    for (int value = 0; value < 10; ++value)
      if (may_read(c, offset, value)) all += static_cast<char>('0' + value);
    return all;
  }

 private:
  static std::vector<std::byte> bytes(int value) {
    return std::vector<std::byte>(16, static_cast<std::byte>(value));
  }
  Content content(int value) {
    return Content::filled(static_cast<std::uint8_t>(value), next_tag_++);
  }
  Views views_;
  std::uint32_t next_tag_ = 1;
};

const std::string anything = "0123456789";

TEST(Views, AConnectionSeesItsOwnWrites) {
  for (const ViewRules& rules : {shared, multi_conn, per_connection}) {
    Scene scene(rules);
    scene.write(0, 0, 1);
    EXPECT_EQ(scene.choices(0, 0), "1");
    scene.write(0, 0, 2);
    EXPECT_EQ(scene.choices(0, 0), "2");
    scene.flush(0);
    EXPECT_EQ(scene.choices(0, 0), "2");
    EXPECT_EQ(scene.choices(0, 16), anything);
  }
}

TEST(Views, WithoutReopeningTheOwnViewIsAllThereIs) {
  Scene scene({.shared = true, .multi_conn = false, .reopens = false});
  scene.write(0, 0, 1);
  scene.flush(0);
  EXPECT_EQ(scene.choices(0, 0), "1");
  scene.fails_to_write(0, 0, 2);
  EXPECT_EQ(scene.choices(0, 0), "12");
}

TEST(Views, WithMultiConnOthersSeeOldOrNewUntilAFlush) {
  for (const int flusher : {0, 1, 2}) {
    Scene scene(multi_conn, {0, 1, 2});
    scene.write(0, 0, 1);
    scene.flush(0);
    EXPECT_EQ(scene.choices(1, 0), "1");
    scene.write(0, 0, 2);
    EXPECT_EQ(scene.choices(0, 0), "2");
    EXPECT_EQ(scene.choices(1, 0), "12");
    scene.flush(flusher);
    EXPECT_EQ(scene.choices(1, 0), "2") << "flushed by " << flusher;
    EXPECT_EQ(scene.choices(2, 0), "2");
    EXPECT_EQ(scene.choices(0, 0), "2");
  }
}

TEST(Views, WithMultiConnFuaIsVisibleAtOnce) {
  Scene scene(multi_conn, {0, 1});
  scene.write(0, 0, 1, true);
  EXPECT_EQ(scene.choices(1, 0), "1");
}

TEST(Views, WithMultiConnALaterWriteOfTheSameConnectionIsNotFlushedByAnEarlierFlush) {
  Scene scene(multi_conn, {0, 1});
  scene.write(0, 0, 1);
  scene.flush(1);
  scene.write(0, 8, 2);
  EXPECT_TRUE(scene.may_read(1, 0, 1));
  scene.flush(0);
  EXPECT_FALSE(scene.may_read(1, 0, 1));
}

TEST(Views, WithoutMultiConnOthersAreOwedNothingForWhatSomebodyElseWrites) {
  Scene scene(shared, {0, 1});
  scene.write(1, 0, 1);
  scene.write(1, 64, 1);
  scene.write(0, 0, 2);
  EXPECT_EQ(scene.choices(1, 0), anything);
  EXPECT_EQ(scene.choices(1, 64), "1") << "nobody else wrote there";
  scene.flush(0);
  scene.flush(1);
  EXPECT_EQ(scene.choices(1, 0), anything) << "an open connection may keep what it had";
  scene.write(1, 0, 3);
  EXPECT_EQ(scene.choices(1, 0), "3");
}

TEST(Views, WithoutMultiConnTheFlushOfAnotherConnectionCoversNothing) {
  Scene scene(shared, {0, 1});
  scene.write(0, 0, 1);
  scene.flush(0);
  scene.write(0, 0, 2);
  scene.flush(1);
  scene.close(0);
  scene.open(0);
  EXPECT_EQ(scene.choices(0, 0), "12");
}

TEST(Views, WhatWasFlushedIsThereAfterReopening) {
  for (const ViewRules& rules : {shared, multi_conn}) {
    Scene scene(rules);
    scene.write(0, 0, 1);
    scene.flush(0);
    scene.close(0);
    scene.open(0);
    EXPECT_EQ(scene.choices(0, 0), "1");
  }
}

TEST(Views, WhatWasNotFlushedIsOldOrNewAfterReopening) {
  Scene scene(shared);
  scene.write(0, 0, 1);
  scene.flush(0);
  scene.write(0, 0, 2);
  scene.write(0, 0, 3);
  scene.close(0);
  scene.open(1);
  EXPECT_EQ(scene.choices(1, 0), "123");
  // The flush of a connection that never wrote it settles nothing.
  scene.flush(1);
  EXPECT_EQ(scene.choices(1, 0), "123");
}

TEST(Views, FuaNeedsNoFlush) {
  Scene scene(shared);
  scene.write(0, 0, 1, true);
  scene.close(0);
  scene.open(0);
  EXPECT_EQ(scene.choices(0, 0), "1");
}

TEST(Views, WhatWasReadStaysTrueAfterReopening) {
  Scene scene(shared);
  EXPECT_TRUE(scene.reads(0, 100, 5));
  EXPECT_FALSE(scene.reads(0, 100, 6));
  scene.close(0);
  scene.open(0);
  EXPECT_EQ(scene.choices(0, 100), "5");
}

TEST(Views, PerConnectionDisksStartAnew) {
  Scene scene(per_connection, {0, 1});
  scene.write(0, 0, 1);
  scene.flush(0);
  EXPECT_EQ(scene.choices(1, 0), anything);
  scene.write(1, 0, 2);
  EXPECT_EQ(scene.choices(0, 0), "1") << "the others' writes must not come through";
  scene.fails_to_write(1, 0, 3);
  EXPECT_EQ(scene.choices(0, 0), "1");
  scene.close(0);
  scene.open(0);
  EXPECT_EQ(scene.choices(0, 0), anything);
}

TEST(Views, AFailedWriteLeavesOldOrNew) {
  Scene scene(multi_conn, {0, 1});
  scene.write(0, 0, 1, true);
  scene.fails_to_write(0, 0, 2);
  EXPECT_EQ(scene.choices(0, 0), "12");
  EXPECT_EQ(scene.choices(1, 0), "12");
  scene.flush(0);
  EXPECT_EQ(scene.choices(1, 0), "12") << "a flush does not make a failed write succeed";
  scene.close(0);
  scene.open(0);
  EXPECT_EQ(scene.choices(0, 0), "12");
}

TEST(Views, AFailedWriteWithoutMultiConn) {
  Scene scene(shared, {0, 1});
  scene.write(1, 0, 1, true);
  scene.fails_to_write(0, 0, 2);
  EXPECT_EQ(scene.choices(1, 0), anything);
  scene.close(1);
  scene.open(1);
  EXPECT_EQ(scene.choices(1, 0), "12");
}

TEST(Views, AFailureAfterAWriteIsNotUndoneByTheFlush) {
  Scene scene(shared);
  scene.write(0, 0, 1);
  scene.fails_to_write(0, 0, 2);
  scene.flush(0);
  scene.close(0);
  scene.open(0);
  EXPECT_TRUE(scene.may_read(0, 0, 1));
  EXPECT_TRUE(scene.may_read(0, 0, 2));
}

TEST(Views, NobodyKnowsWhoWinsAContest) {
  Scene scene(shared, {0, 1});
  scene.write(0, 0, 1);
  scene.write(1, 0, 2);
  // Connection 1 may have written back first, and 0 over it.
  scene.flush(1);
  scene.flush(0);
  scene.open(2);
  EXPECT_TRUE(scene.may_read(2, 0, 1));
  EXPECT_TRUE(scene.may_read(2, 0, 2));
  scene.close(0);
  scene.close(1);
  scene.close(2);
  // Written again, by one alone, and flushed: known again.
  scene.open(0);
  scene.write(0, 0, 3);
  scene.flush(0);
  scene.open(1);
  EXPECT_EQ(scene.choices(1, 0), "3");
}

TEST(Views, TheFirstOfAContestToBeFlushedDoesNotCrownTheSecond) {
  Scene scene(shared, {0, 1});
  scene.write(0, 0, 1);
  scene.write(1, 0, 2);
  scene.flush(0);
  scene.flush(1);
  scene.close(0);
  scene.close(1);
  scene.open(2);
  EXPECT_TRUE(scene.may_read(2, 0, 1)) << "1 wrote back before it was asked, 0 came later";
  EXPECT_TRUE(scene.may_read(2, 0, 2));
}

TEST(Views, FuaOnContestedGroundSettlesNothing) {
  Scene scene(shared, {0, 1});
  scene.write(0, 0, 1);
  scene.write(1, 0, 2, true);
  scene.flush(0);
  scene.close(0);
  scene.close(1);
  scene.open(2);
  EXPECT_TRUE(scene.may_read(2, 0, 1));
  EXPECT_TRUE(scene.may_read(2, 0, 2));
}

TEST(Views, WhoeverOpensAmidWritingIsOwedNothingForThatPlace) {
  Scene scene(shared, {0, 1});
  scene.write(0, 0, 1, true);
  scene.open(2);
  EXPECT_EQ(scene.choices(2, 0), anything);
  scene.close(0);
  scene.open(3);
  EXPECT_EQ(scene.choices(3, 0), "1");
}

TEST(Views, OpeningTwiceAndClosingWhatIsNotOpen) {
  Scene scene(shared, {});
  scene.close(7);
  scene.open(7);
  scene.write(7, 0, 1, true);
  scene.open(7);
  EXPECT_EQ(scene.choices(7, 0), "1");
}

}  // namespace
}  // namespace nbdcheck
