// The judge of operations that ran at once: by hand, clause by clause, and
// against the definition on random small histories.
#include "judge/concurrent.hpp"

#include <gtest/gtest.h>

#include <deque>
#include <random>

#include "judge/concurrent_failures.hpp"
#include "judge/register_history.hpp"
#include "model/tags.hpp"
#include "nbdcheck/connection.hpp"

namespace nbdcheck {
namespace {

// Builds histories; every operation is [begin, end] on a thread of its own.
class Book {
 public:
  Book& change(OpKind kind, std::uint32_t tag, std::int64_t begin, std::int64_t end,
               std::uint64_t offset = 0, std::uint32_t count = 512, unsigned connection = 0) {
    Operation op{.kind = kind};
    op.tag = tag;
    op.offset = offset;
    op.count = count;
    op.connection = static_cast<std::uint8_t>(connection);
    return enter(op, begin, end);
  }
  Book& write(std::uint32_t tag, std::int64_t begin, std::int64_t end, std::uint64_t offset = 0,
              std::uint32_t count = 512, unsigned connection = 0) {
    return change(OpKind::write, tag, begin, end, offset, count, connection);
  }
  Book& flush(std::int64_t begin, std::int64_t end, unsigned connection = 0) {
    Operation op{.kind = OpKind::flush};
    op.connection = static_cast<std::uint8_t>(connection);
    return enter(op, begin, end);
  }
  Book& reopen(std::int64_t time, unsigned connection = 0) {
    Operation op{.kind = OpKind::open};
    op.connection = static_cast<std::uint8_t>(connection);
    return enter(op, time, time);
  }
  Book& failed() {
    records_.back().error = EIO;
    return *this;
  }
  Book& fua() {
    records_.back().operation.flags = command_flag::fua;
    return *this;
  }

  // A read that saw these tags, each for an equal part; 0: zeroes.
  Book& read(std::vector<std::uint32_t> tags, std::int64_t begin, std::int64_t end,
             std::uint64_t offset = 0, std::uint32_t count = 512, unsigned connection = 0) {
    auto& data = data_.emplace_back(count);
    const std::size_t part = count / tags.size();
    for (std::size_t i = 0; i < tags.size(); ++i) {
      const std::span to(data.data() + i * part, part);
      if (tags[i] != 0) fill_tags(to, offset + i * part, tags[i]);
    }
    Operation op{.kind = OpKind::read};
    op.offset = offset;
    op.count = count;
    op.connection = static_cast<std::uint8_t>(connection);
    enter(op, begin, end);
    records_.back().data = data;
    return *this;
  }

  // "" or the rules broken.
  [[nodiscard]] std::string verdict(ConcurrentRules rules = {}) const {
    std::string text;
    const ConcurrentVerdict verdict = judge_concurrent(records_, rules);
    EXPECT_EQ(verdict.undecided_sectors, 0U);
    EXPECT_EQ(verdict.violations.size(), verdict.witnesses.size());
    for (const Violation& v : verdict.violations) {
      EXPECT_FALSE(v.message.empty());
      EXPECT_FALSE(v.details.empty());
      text += v.rule.substr(v.rule.find('.') + 1) + " ";
    }
    for (const auto& witness : verdict.witnesses) {
      EXPECT_GE(witness.size(), 2U);
      EXPECT_LE(witness.size(), 4U);
    }
    return text;
  }
  [[nodiscard]] std::span<const TimedRecord> records() const { return records_; }

 private:
  // Records point into the data.
  Book& enter(Operation op, std::int64_t begin, std::int64_t end) {
    op.thread = static_cast<std::uint8_t>(records_.size() % 8);
    TimedRecord record;
    record.operation = op;
    record.done = true;
    record.begin = begin;
    record.end = end;
    records_.push_back(record);
    return *this;
  }

  std::vector<TimedRecord> records_;
  std::deque<std::vector<std::byte>> data_;
};

constexpr ConcurrentRules shared{.multi_conn = true, .atomic = false};
constexpr ConcurrentRules atomic{.multi_conn = false, .atomic = true};

TEST(Concurrent, OneAfterTheOther) {
  EXPECT_EQ(Book().write(1, 0, 1).read({1}, 2, 3).verdict(), "");
  EXPECT_EQ(Book().write(1, 0, 1).read({2}, 2, 3).verdict(), "regular ");
  EXPECT_EQ(Book().write(1, 0, 1).write(2, 2, 3).read({1}, 4, 5).verdict(), "regular ");
  EXPECT_EQ(Book().write(1, 0, 1).write(2, 2, 3).read({2}, 4, 5).verdict(), "");
}

// A read of [0, 1024) at times 10 to 20 fails, on connection 0.
bool fails_needlessly(const Book& book) {
  const auto found = find_needless_failure(book.records());
  if (!found) return false;
  const Violation v = describe_needless_failure(book.records(), *found);
  EXPECT_EQ(v.rule, "concurrency.needless-error");
  EXPECT_FALSE(v.details.empty());
  return true;
}

TEST(ConcurrentFailures, TheReadFailsOnlyBesideAnother) {
  const auto book = [](std::int64_t other_begins) {
    return Book()
        .write(1, 0, 1, 0, 1024)
        .read({9}, 10, 20, 0, 1024)
        .failed()
        .write(2, other_begins, other_begins + 1, 4096);
  };
  EXPECT_TRUE(fails_needlessly(book(15).read({1}, 30, 31, 0, 1024)));
  EXPECT_FALSE(fails_needlessly(book(25).read({1}, 30, 31, 0, 1024)));  // it was alone
  // Afterwards each byte is read, in one piece or two, on the same connection.
  EXPECT_TRUE(fails_needlessly(book(15).read({1}, 30, 31).read({1}, 32, 33, 512)));
  EXPECT_FALSE(fails_needlessly(book(15)));
  EXPECT_FALSE(fails_needlessly(book(15).read({1}, 30, 31)));
  EXPECT_FALSE(fails_needlessly(book(15).read({1}, 30, 31, 0, 1024, 1)));
  EXPECT_FALSE(fails_needlessly(book(15).read({1}, 30, 31, 0, 1024).failed()));
}

TEST(ConcurrentFailures, ThePlaceWasGoodBefore) {
  const auto rest = [](Book book) {
    return book.read({9}, 10, 20, 0, 1024)
        .failed()
        .write(2, 12, 13, 4096)
        .read({1}, 30, 31, 0, 1024);
  };
  EXPECT_TRUE(fails_needlessly(rest(Book().read({1}, 0, 1, 0, 1024))));
  EXPECT_FALSE(fails_needlessly(rest(Book())));
  EXPECT_FALSE(fails_needlessly(rest(Book().write(1, 0, 1, 0, 512))));
  EXPECT_FALSE(fails_needlessly(rest(Book().write(1, 0, 1, 0, 1024).failed())));
  EXPECT_FALSE(fails_needlessly(rest(Book().write(1, 0, 11, 0, 1024))));
  EXPECT_FALSE(fails_needlessly(rest(Book().change(OpKind::trim, 0, 0, 1, 0, 1024))));
}

TEST(Concurrent, NothingIsKnownOfWhatNobodyWrote) {
  EXPECT_EQ(Book().read({7}, 0, 1).write(1, 2, 3, 512).read({9, 1}, 4, 5, 0, 1024).verdict(), "");
}

TEST(Concurrent, WhatOverlapsMayBeSeenOrNot) {
  for (const std::uint32_t seen : {1U, 2U})
    EXPECT_EQ(Book().write(1, 0, 1).write(2, 2, 9).read({seen}, 3, 4).verdict(), "");
  EXPECT_EQ(Book().write(1, 0, 1).write(2, 2, 9).read({1, 2}, 3, 4).verdict(), "");
  EXPECT_EQ(Book().write(1, 0, 1).write(2, 2, 9).read({3}, 3, 4).verdict(), "regular ");
  // Touching is overlapping.
  EXPECT_EQ(Book().write(1, 0, 1).write(2, 2, 5).read({1}, 5, 6).verdict(), "");
}

TEST(Concurrent, OfWritesThatOverlapEitherStands) {
  for (const std::uint32_t seen : {1U, 2U})
    EXPECT_EQ(Book().write(1, 0, 5).write(2, 3, 9).read({seen}, 10, 11).verdict(), "");
  EXPECT_EQ(Book().write(1, 0, 5).write(2, 3, 9).read({1, 2}, 10, 11).verdict(), "");
}

TEST(Concurrent, ButOneOfThem) {
  EXPECT_EQ(Book().write(1, 0, 5).write(2, 3, 9).read({1}, 10, 11).read({2}, 12, 13).verdict(),
            "convergence ");
  EXPECT_EQ(Book()
                .write(1, 0, 5)
                .write(2, 3, 9)
                .read({1}, 10, 11)
                .write(3, 12, 13, 4096)
                .read({2}, 14, 15)
                .verdict(),
            "");
}

TEST(Concurrent, NeighboursKeepTheirs) {
  EXPECT_EQ(Book()
                .write(1, 0, 1, 0, 1024)
                .write(2, 2, 9, 0, 512)
                .write(3, 2, 9, 512, 512)
                .read({2, 1}, 10, 11, 0, 1024)
                .verdict(),
            "regular ");
}

TEST(Concurrent, BytesAreJudgedByThemselves) {
  // Three bytes each, across words.
  EXPECT_EQ(
      Book().write(1, 0, 1, 0, 9).write(2, 2, 9, 3, 3).read({1, 2, 1}, 10, 11, 0, 9).verdict(), "");
  EXPECT_EQ(
      Book().write(1, 0, 1, 0, 9).write(2, 2, 9, 3, 3).read({1, 1, 1}, 10, 11, 0, 9).verdict(),
      "regular ");
}

TEST(Concurrent, ZeroesAndTrims) {
  EXPECT_EQ(Book().write(1, 0, 1).change(OpKind::zero, 2, 2, 3).read({0}, 4, 5).verdict(), "");
  EXPECT_EQ(Book().write(1, 0, 1).change(OpKind::zero, 2, 2, 3).read({1}, 4, 5).verdict(),
            "regular ");
  EXPECT_EQ(Book().write(1, 0, 1).change(OpKind::trim, 2, 2, 3).read({77}, 4, 5).verdict(), "");
  EXPECT_EQ(Book()
                .write(1, 0, 1)
                .change(OpKind::trim, 2, 2, 3)
                .read({77}, 4, 5)
                .read({78}, 6, 7)
                .verdict(),
            "");
  EXPECT_EQ(
      Book().write(1, 0, 1).change(OpKind::trim, 2, 2, 3).write(3, 4, 5).read({1}, 6, 7).verdict(),
      "regular ");
}

TEST(Concurrent, FailuresLeaveOldOrNew) {
  for (const std::uint32_t seen : {1U, 2U})
    EXPECT_EQ(Book().write(1, 0, 1).write(2, 2, 3).failed().read({seen}, 4, 5).verdict(), "");
  EXPECT_EQ(Book().write(1, 0, 1).write(2, 2, 3).failed().read({2, 1}, 4, 5).verdict(), "");
  EXPECT_EQ(Book().write(1, 0, 1).write(2, 2, 3).failed().read({3}, 4, 5).verdict(), "regular ");
  // And which of them may change until somebody writes.
  EXPECT_EQ(Book().write(1, 0, 1).write(2, 2, 3).failed().read({1}, 4, 5).read({2}, 6, 7).verdict(),
            "");
}

TEST(Concurrent, ConnectionsOweEachOtherNothing) {
  // Another's write may be seen, or not, or whatever its cache makes of it.
  for (const std::uint32_t seen : {1U, 2U, 3U})
    EXPECT_EQ(Book().write(1, 0, 1).write(2, 2, 3, 0, 512, 1).read({seen}, 4, 5).verdict(), "");
  // Their own they see, where nobody else wrote.
  EXPECT_EQ(Book()
                .write(1, 0, 1)
                .write(2, 2, 3, 4096, 512, 1)
                .read({2}, 4, 5, 4096, 512, 1)
                .read({7}, 4, 5)
                .verdict(),
            "regular ");
  // Not what was written before it was opened again.
  EXPECT_EQ(Book().write(1, 0, 1).reopen(2).read({7}, 4, 5).verdict(), "");
}

TEST(Concurrent, WithMultiConnFlushesShow) {
  EXPECT_EQ(Book().write(1, 0, 1).read({9}, 4, 5, 0, 512, 1).verdict(shared), "");
  EXPECT_EQ(Book().write(1, 0, 1).flush(2, 3).read({9}, 4, 5, 0, 512, 1).verdict(shared),
            "multi-conn ");
  EXPECT_EQ(Book().write(1, 0, 1).flush(2, 3, 1).read({9}, 4, 5, 0, 512, 1).verdict(shared),
            "multi-conn ");
  EXPECT_EQ(Book().write(1, 0, 1).flush(2, 3).read({1}, 4, 5, 0, 512, 1).verdict(shared), "");
  // A flush that overlaps the write, or the read, promises nothing.
  EXPECT_EQ(Book().write(1, 0, 2).flush(2, 3).read({9}, 4, 5, 0, 512, 1).verdict(shared), "");
  EXPECT_EQ(Book().write(1, 0, 1).flush(2, 4).read({9}, 4, 5, 0, 512, 1).verdict(shared), "");
  EXPECT_EQ(Book().write(1, 0, 1).flush(2, 3).failed().read({9}, 4, 5, 0, 512, 1).verdict(shared),
            "");
  EXPECT_EQ(Book().write(1, 0, 1).fua().read({9}, 4, 5, 0, 512, 1).verdict(shared), "multi-conn ");
}

TEST(Concurrent, UnflushedWritesOfTwoConnectionsMayStandEither) {
  for (const std::uint32_t seen : {1U, 2U})
    EXPECT_EQ(Book()
                  .write(1, 0, 1)
                  .write(2, 2, 3, 0, 512, 1)
                  .flush(4, 5)
                  .read({seen}, 6, 7, 0, 512, 1)
                  .verdict(shared),
              "");
  EXPECT_EQ(Book()
                .write(1, 0, 1)
                .flush(2, 3)
                .write(2, 4, 5, 0, 512, 1)
                .read({1}, 6, 7, 0, 512, 1)
                .verdict(shared),
            "regular ");
}

TEST(Concurrent, AfterAFlushConnectionsAgree) {
  const auto book = [](std::uint32_t other) {
    return Book()
        .write(1, 0, 5)
        .write(2, 3, 9, 0, 512, 1)
        .flush(10, 11)
        .read({1}, 12, 13)
        .read({other}, 14, 15, 0, 512, 1)
        .verdict(shared);
  };
  EXPECT_EQ(book(1), "");
  EXPECT_EQ(book(2), "convergence ");
}

TEST(Concurrent, SectorsAreWholeOnlyWhereAskedFor) {
  Book torn;
  torn.write(1, 0, 1).write(2, 2, 9).read({1, 2}, 3, 4);
  EXPECT_EQ(torn.verdict(), "");
  EXPECT_EQ(torn.verdict(atomic), "torn-sector ");
  // Across sectors nothing is atomic.
  EXPECT_EQ(Book()
                .write(1, 0, 1, 0, 1024)
                .write(2, 2, 9, 0, 1024)
                .read({1, 2}, 3, 4, 0, 1024)
                .verdict(atomic),
            "");
}

TEST(Concurrent, NewThenOldOnlyWhereAskedFor) {
  Book back;
  back.write(1, 0, 1).write(2, 2, 9).read({2}, 3, 4).read({1}, 5, 6);
  EXPECT_EQ(back.verdict(), "");
  EXPECT_EQ(back.verdict(atomic), "atomic ");
}

TEST(Concurrent, TheWordsNameTheOperations) {
  Book book;
  book.write(1, 0, 1).write(2, 2, 3).read({1}, 4, 5);
  const ConcurrentVerdict verdict = judge_concurrent(book.records(), {});
  ASSERT_EQ(verdict.violations.size(), 1U);
  const Violation& v = verdict.violations[0];
  EXPECT_EQ(v.expected, "the data of [2] #0 write(offset=0, count=512)");
  EXPECT_EQ(v.actual, "the data of [1] #0 write(offset=0, count=512), which had been overwritten");
  EXPECT_EQ(verdict.witnesses[0], (std::vector<std::size_t>{0, 1, 2}));
}

TEST(Concurrent, DiagramShowsTimeDownwards) {
  Book book;
  book.write(1, 0, 1500).write(2, 500, 1000);
  const std::size_t both[] = {0, 1};
  EXPECT_EQ(
      space_time_diagram(book.records(), both),
      (std::vector<std::string>{
          "      time  thread 0                             thread 1",
          "    0.0 us  + [1] #0 write(offset=0, count=512)",
          "    0.5 us  |                                    + [2] #0 write(offset=0, count=512)",
          "    1.0 us  |                                    + done", "    1.5 us  + done"}));
}

// Histories of one sector, judged by the judge of registers as well.
TEST(Concurrent, AgreesWithTheJudgeOfRegisters) {
  std::mt19937_64 random(20261121);
  const auto below = [&](std::uint64_t n) { return random() % n; };
  int bad = 0;
  constexpr int histories = 60'000;
  for (int i = 0; i < histories; ++i) {
    Book book;
    RegisterHistory registers;
    const auto enter = [&](RegisterOp::Kind kind, std::uint64_t value, std::int64_t begin,
                           std::int64_t end) {
      RegisterOp op;
      op.kind = kind;
      op.value = value;
      op.begin = begin;
      op.end = end;
      registers.push_back(op);
    };
    book.write(1, -2, -1);
    enter(RegisterOp::Kind::write, 1, -2, -1);
    std::uint32_t tag = 1;
    const std::size_t count = 2 + below(8);
    for (std::size_t n = 0; n < count; ++n) {
      const auto begin = static_cast<std::int64_t>(below(14));
      const auto end = begin + static_cast<std::int64_t>(below(6));
      switch (below(5)) {
        case 0:
        case 1:
          book.write(++tag, begin, end);
          enter(RegisterOp::Kind::write, tag, begin, end);
          break;
        case 2:
          book.change(OpKind::zero, ++tag, begin, end);
          enter(RegisterOp::Kind::zero, 0, begin, end);
          break;
        default: {
          const auto value = static_cast<std::uint32_t>(below(tag + 1U));
          book.read({value}, begin, end);
          enter(RegisterOp::Kind::read, value, begin, end);
          break;
        }
      }
    }
    const bool good = judge_registers(registers, Consistency::regular).clashes.empty();
    bad += good ? 0 : 1;
    const std::string verdict = book.verdict();
    ASSERT_EQ(verdict.find("regular") == std::string::npos, good) << "history " << i;
  }
  EXPECT_GT(bad, histories / 10);
  EXPECT_LT(bad, histories * 9 / 10);
}

}  // namespace
}  // namespace nbdcheck
