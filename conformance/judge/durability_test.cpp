#include "judge/durability.hpp"

#include <gtest/gtest.h>

#include <limits>

namespace nbdcheck {
namespace {

constexpr std::uint64_t whole = std::numeric_limits<std::uint64_t>::max();

// A history made by hand: requests with the calls they led to.
class History {
 public:
  History& write(std::uint32_t tag, std::uint64_t offset = 0, std::uint32_t flags = 0,
                 std::uint8_t connection = 0) {
    Operation op{.kind = OpKind::write};
    op.tag = tag;
    return request(op, offset, flags, connection);
  }
  History& zero(std::uint64_t offset = 0, std::uint32_t flags = 0) {
    return request({.kind = OpKind::zero}, offset, flags, 0);
  }
  History& trim(std::uint64_t offset, std::uint32_t flags) {
    return request({.kind = OpKind::trim}, offset, flags, 0);
  }
  History& flush(std::uint8_t connection = 0, bool ok = true) {
    Operation op{.kind = OpKind::flush};
    op.connection = connection;
    requests_.push_back({op, ok, calls_.size(), calls_.size()});
    return *this;
  }
  // Calls of the request that was added last.
  History& puts(std::uint32_t tag, int file = 0, std::uint64_t at = 0, std::uint64_t place = 0,
                std::uint64_t size = 4096) {
    FileCall call{.kind = FileCall::Kind::write, .file = file, .begin = at, .end = at + size};
    call.pieces = {{tag, place, at, size}};
    call.text = "pwrite";
    return add(std::move(call));
  }
  History& durably() {
    calls_.back().durable = true;
    return *this;
  }
  History& failing() {
    calls_.back().error = 5;
    return *this;
  }
  History& syncs(int file = 0, std::uint64_t begin = 0, std::uint64_t end = whole) {
    return add({.kind = FileCall::Kind::sync, .file = file, .begin = begin, .end = end});
  }
  History& clears(std::uint64_t begin = 0, std::uint64_t end = 4096) {
    return add({.kind = FileCall::Kind::clear, .file = 0, .begin = begin, .end = end});
  }
  History& sends(std::uint64_t size) { return add({.kind = FileCall::Kind::send, .end = size}); }
  History& stores(std::uint32_t tag) {
    requests_.back().stores.push_back({0, {tag, requests_.back().operation.offset, 0, 4096}});
    return *this;
  }
  // What comes now is made after the answer.
  History& later() {
    answered_ = true;
    return *this;
  }

  [[nodiscard]] std::string verdict(DurabilityRules rules = {}) const {
    const std::vector<WatchedFile> files = {{"/d/disk", true}, {"/d/other", true}, {"/x", false}};
    std::string text;
    for (const Violation& v : judge_durability(requests_, calls_, files, rules)) text += v.rule;
    return text;
  }

 private:
  History& request(Operation op, std::uint64_t offset, std::uint32_t flags,
                   std::uint8_t connection) {
    op.offset = offset;
    op.count = 4096;
    op.flags = static_cast<std::uint8_t>(flags);
    op.connection = connection;
    answered_ = false;
    requests_.push_back({op, true, calls_.size(), calls_.size()});
    return *this;
  }
  History& add(FileCall call) {
    calls_.push_back(std::move(call));
    if (!answered_) requests_.back().end = calls_.size();
    return *this;
  }
  std::vector<DurableRequest> requests_;
  std::vector<FileCall> calls_;
  bool answered_ = false;
};

constexpr auto fua = command_flag::fua;

TEST(Durability, AFlushNeedsASyncAfterTheWrite) {
  EXPECT_EQ(History().write(1).puts(1).flush().syncs().verdict(), "");
  EXPECT_EQ(History().write(1).puts(1).flush().verdict(), "flush.durable");
  EXPECT_EQ(History().write(1).syncs().puts(1).flush().verdict(), "flush.durable");
  EXPECT_EQ(History().write(1).puts(1).syncs().flush().verdict(), "");
  EXPECT_EQ(History().write(1).puts(1).durably().flush().verdict(), "");
  EXPECT_EQ(History().write(1).puts(1).verdict(), "");
  EXPECT_EQ(History().write(1).puts(1).flush(0, false).verdict(), "");
}

TEST(Durability, OfThatPlaceOfThatFile) {
  EXPECT_EQ(History().write(1).puts(1).flush().syncs(1).verdict(), "flush.durable");
  EXPECT_EQ(History().write(1).puts(1).flush().syncs(-1).verdict(), "");
  EXPECT_EQ(History().write(1).puts(1).flush().syncs(0, 0, 4096).verdict(), "");
  EXPECT_EQ(History().write(1).puts(1).flush().syncs(0, 0, 4000).verdict(), "flush.durable");
  EXPECT_EQ(History().write(1).puts(1).flush().syncs().failing().verdict(), "flush.durable");
}

TEST(Durability, AWriteBackCacheWritesFirst) {
  EXPECT_EQ(History().write(1).flush().puts(1).syncs().verdict(), "");
  EXPECT_EQ(History().write(1).flush().syncs().puts(1).verdict(), "flush.durable");
  EXPECT_EQ(History().write(1).flush().syncs().later().puts(1).verdict(), "flush.durable");
}

TEST(Durability, OneCopyIsEnough) {
  // A journal, and the disk some day.
  EXPECT_EQ(History().write(1).puts(1, 1).flush().syncs(1).later().puts(1, 0).verdict(), "");
  EXPECT_EQ(History().write(1).puts(1, 2).puts(1, 0).flush().syncs(2).verdict(), "");
  // The journal holds the half of it only.
  EXPECT_EQ(History().write(1).puts(1, 1, 0, 0, 2048).puts(1).flush().syncs(1).verdict(),
            "flush.durable");
}

TEST(Durability, DataInMemoryOnlyAreNotJudged) {
  EXPECT_EQ(History().write(1).flush().verdict(), "");
  EXPECT_EQ(History().write(1).puts(1, 2).flush().verdict(), "");  // a file of its own choice
  EXPECT_EQ(History().write(1).sends(4200).puts(1).flush().verdict(), "");
  EXPECT_EQ(History().write(1).sends(100).puts(1).flush().verdict(), "flush.durable");
}

TEST(Durability, WhatWasOverwrittenNeedNotBeThere) {
  EXPECT_EQ(History().write(1).puts(1).write(2).flush().puts(2).syncs().verdict(), "");
  EXPECT_EQ(History().write(1).puts(1).write(2).puts(2).flush().verdict(), "flush.durable");
}

TEST(Durability, AnotherConnectionCountsWithMultiConnOnly) {
  const auto history = History().write(1).puts(1).flush(1);
  EXPECT_EQ(history.verdict(), "");
  EXPECT_EQ(history.verdict({.multi_conn = true}), "flush.multi-conn");
}

TEST(Durability, FuaCoversItsOwnRequest) {
  const DurabilityRules native{.native_fua = true};
  EXPECT_EQ(History().write(1, 0, fua).puts(1).verdict(native), "fua.durable");
  EXPECT_EQ(History().write(1, 0, fua).puts(1).syncs().verdict(native), "");
  EXPECT_EQ(History().write(1, 0, fua).puts(1).verdict(), "");  // emulated: judged as a flush
  EXPECT_EQ(History()
                .write(1, 8192)
                .puts(1, 0, 8192, 8192)
                .write(2, 0, fua)
                .puts(2)
                .syncs(0, 0, 4096)
                .verdict(native),
            "");
}

TEST(Durability, AHoleWhereDataWereCountsLikeAWrite) {
  const DurabilityRules native{.native_fua = true};
  const auto written = History().write(1).puts(1).syncs();
  EXPECT_EQ(History(written).zero().clears().flush().syncs().verdict(), "");
  EXPECT_EQ(History(written).zero().clears().flush().verdict(), "flush.durable");
  EXPECT_EQ(History(written).zero().clears(4096, 8192).flush().verdict(), "");  // something else
  EXPECT_EQ(History(written).zero(0, fua).clears().verdict(native), "fua.durable");
  EXPECT_EQ(History(written).trim(0, fua).clears().verdict(native), "fua.trim-durable");
  EXPECT_EQ(History(written).trim(0, 0).clears().flush().verdict(native), "");
}

TEST(Durability, StoresNeedASyncSinceTheirRequestBegan) {
  EXPECT_EQ(History().write(1).stores(1).flush().verdict(), "flush.durable");
  EXPECT_EQ(History().write(1).stores(1).flush().syncs().verdict(), "");
  EXPECT_EQ(History().write(1).syncs().stores(1).flush().verdict(), "");
}

}  // namespace
}  // namespace nbdcheck
