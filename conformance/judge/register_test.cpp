// The judges of concurrent histories: by hand, clause by clause, and against
// brute force on random small ones.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <limits>
#include <random>

#include "judge/register_history.hpp"

namespace nbdcheck {
namespace {

using Kind = RegisterOp::Kind;

RegisterOp op(Kind kind, std::uint64_t value, std::int64_t begin, std::int64_t end) {
  RegisterOp result;
  result.kind = kind;
  result.value = value;
  result.begin = begin;
  result.end = end;
  return result;
}
RegisterOp read(std::uint64_t value, std::int64_t begin, std::int64_t end) {
  return op(Kind::read, value, begin, end);
}
RegisterOp write(std::uint64_t value, std::int64_t begin, std::int64_t end) {
  return op(Kind::write, value, begin, end);
}
RegisterOp zero(std::int64_t begin, std::int64_t end) { return op(Kind::zero, 0, begin, end); }

bool good(const RegisterHistory& history, Consistency consistency) {
  const RegisterVerdict verdict = judge_registers(history, consistency);
  EXPECT_TRUE(verdict.undecided.empty());
  for (const RegisterClash& clash : verdict.clashes) {
    EXPECT_FALSE(clash.why.empty());
    EXPECT_GE(clash.witness.size(), 1U);
    EXPECT_LE(clash.witness.size(), 4U);
  }
  return verdict.clashes.empty();
}

struct Case {
  const char* name;
  RegisterHistory history;
  bool regular;
  bool atomic;
};

class ByHand : public testing::TestWithParam<Case> {};

TEST_P(ByHand, IsJudged) {
  EXPECT_EQ(good(GetParam().history, Consistency::regular), GetParam().regular) << "regular";
  EXPECT_EQ(good(GetParam().history, Consistency::atomic), GetParam().atomic) << "atomic";
}

const Case cases[] = {
    {"Nothing", {}, true, true},
    {"ZeroAtFirst", {read(0, 0, 1)}, true, true},
    {"NobodyWroteThat", {read(7, 0, 1)}, false, false},
    {"ReadWhatWasWritten", {write(1, 0, 1), read(1, 2, 3)}, true, true},
    {"ReadBeforeTheWrite", {read(1, 0, 1), write(1, 2, 3)}, false, false},
    {"ReadDuringTheWrite", {write(1, 0, 9), read(1, 2, 3)}, true, true},
    {"OldDuringTheWrite", {write(1, 0, 9), read(0, 2, 3)}, true, true},
    {"TouchingIsOverlapping", {read(1, 0, 5), write(1, 5, 9)}, true, true},
    {"TouchingIsNoOrder", {write(1, 0, 5), read(0, 5, 9)}, true, true},
    {"InitialZeroIsOverwritten", {write(1, 0, 1), read(0, 2, 3)}, false, false},
    {"Overwritten", {write(1, 0, 1), write(2, 2, 3), read(1, 4, 5)}, false, false},
    {"OverwrittenByAnyOverlapping", {write(1, 0, 3), write(2, 2, 3), read(1, 4, 5)}, true, true},
    {"NewThenOld", {write(1, 0, 9), read(1, 1, 2), read(0, 3, 4)}, true, false},
    {"TwoReadersDisagree",
     {write(1, 0, 9), write(2, 0, 9), read(1, 10, 11), read(2, 12, 13)},
     true,
     false},
    {"TwoReadersAgree",
     {write(1, 0, 9), write(2, 0, 9), read(1, 10, 11), read(1, 12, 13)},
     true,
     true},
    {"WriteInsideAnothersTime",
     {write(1, 0, 1), read(1, 2, 9), write(2, 3, 4), read(1, 12, 13)},
     false,
     false},
    {"WriteInsideAnothersTimeButRegular",
     {write(1, 0, 20), read(1, 2, 3), write(2, 5, 6), read(1, 8, 9)},
     true,
     false},
    {"ZonesCross",
     {write(1, 0, 20), write(2, 0, 20), read(1, 1, 2), read(2, 3, 4), read(1, 5, 6)},
     true,
     false},
    {"ZeroComesBack", {write(1, 0, 1), zero(2, 3), read(0, 4, 5)}, true, true},
    {"ZeroDoesNotComeBackTwice",
     {write(1, 0, 20), zero(0, 20), read(1, 1, 2), read(0, 3, 4), read(1, 5, 6)},
     true,
     false},
    {"ZeroBeforeOneAndAfter",
     {zero(0, 20), write(1, 4, 5), read(0, 1, 2), read(1, 6, 7), read(0, 8, 9)},
     true,
     true},
    {"ZeroOnlyOnce",
     {zero(0, 20), write(1, 0, 20), read(1, 2, 3), read(0, 4, 5), write(2, 6, 7), read(0, 8, 9)},
     true,
     false},
    {"TwoZeroesTwice",
     {zero(0, 20), zero(0, 20), write(1, 0, 20), read(1, 2, 3), read(0, 4, 5), write(2, 6, 7),
      read(0, 8, 9)},
     true,
     true},
    {"ZeroInsideAnothersTime",
     {write(1, 0, 20), read(1, 2, 3), zero(5, 6), read(1, 8, 9)},
     true,
     false},
    {"AWriteOfZeroIsAZero", {write(1, 0, 1), write(0, 2, 3), read(0, 4, 5)}, true, true},
    {"ValuesThatRepeat",
     {write(1, 0, 1), write(2, 2, 3), write(1, 4, 5), read(1, 6, 7)},
     true,
     true},
    {"ValuesThatRepeatOutOfOrder",
     {write(1, 0, 1), write(2, 2, 9), write(1, 2, 9), read(1, 3, 4), read(2, 5, 6), read(1, 7, 8),
      read(2, 10, 11)},
     true,
     false},
};

INSTANTIATE_TEST_SUITE_P(Register, ByHand, testing::ValuesIn(cases),
                         [](const auto& tested) { return std::string(tested.param.name); });

TEST(Register, SectorsAreApart) {
  RegisterHistory history{write(1, 0, 1), read(1, 2, 3), read(0, 2, 3), read(5, 2, 3)};
  history[2].sector = 8;
  history[3].sector = std::numeric_limits<std::uint64_t>::max();
  const RegisterVerdict verdict = judge_registers(history, Consistency::regular);
  EXPECT_EQ(verdict.operations, 4U);
  EXPECT_EQ(verdict.sectors, 3U);
  ASSERT_EQ(verdict.clashes.size(), 1U);
  EXPECT_EQ(verdict.clashes[0].witness[0]->sector, history[3].sector);
}

TEST(Register, OverBudgetIsNotPassed) {
  RegisterHistory history;
  for (int i = 0; i < 16; ++i)
    history.push_back(write(1 + static_cast<std::uint64_t>(i) % 8, 0, 9));
  for (int i = 0; i < 4; ++i) history.push_back(read(1, 20 + 2 * i, 21 + 2 * i));
  EXPECT_TRUE(judge_registers(history, Consistency::atomic).undecided.empty());
  const RegisterVerdict verdict = judge_registers(history, Consistency::atomic, 100);
  EXPECT_EQ(verdict.undecided, std::vector<std::uint64_t>{0});
}

// --- brute force -------------------------------------------------------------

bool precedes(const RegisterOp& a, const RegisterOp& b) { return a.end < b.begin; }

bool regular_by_definition(const RegisterHistory& history) {
  return std::all_of(history.begin(), history.end(), [&](const RegisterOp& r) {
    if (r.writes()) return true;
    const auto overwritten = [&](const RegisterOp* w) {
      return std::any_of(history.begin(), history.end(), [&](const RegisterOp& other) {
        return other.writes() && precedes(other, r) && (w == nullptr || precedes(*w, other));
      });
    };
    if (r.value == 0 && !overwritten(nullptr)) return true;
    return std::any_of(history.begin(), history.end(), [&](const RegisterOp& w) {
      return w.writes() && w.value == r.value && !precedes(r, w) && !overwritten(&w);
    });
  });
}

// All orders that fit the times, by trying them.
bool atomic_by_definition(const RegisterHistory& history) {
  const std::size_t all = (std::size_t{1} << history.size()) - 1;
  std::vector<std::size_t> dead;  // states without a way out: placed operations and the value
  const std::function<bool(std::size_t, std::uint64_t)> place = [&](std::size_t placed,
                                                                    std::uint64_t value) {
    if (placed == all) return true;
    const std::size_t state = placed * 64 + static_cast<std::size_t>(value);
    if (std::find(dead.begin(), dead.end(), state) != dead.end()) return false;
    for (std::size_t i = 0; i < history.size(); ++i) {
      if ((placed >> i & 1) != 0) continue;
      bool first = true;
      for (std::size_t j = 0; j < history.size() && first; ++j)
        first = j == i || (placed >> j & 1) != 0 || !precedes(history[j], history[i]);
      if (!first) continue;
      if (!history[i].writes() && history[i].value != value) continue;
      if (place(placed | std::size_t{1} << i, history[i].writes() ? history[i].value : value))
        return true;
    }
    dead.push_back(state);
    return false;
  };
  return place(0, 0);
}

enum class Values { unique, with_zeroes, repeating };

// Small histories, most of them nearly right: reads return what some order of
// the operations gives, or now and then something else.
RegisterHistory random_history(std::mt19937_64& random, Values values) {
  const auto below = [&](std::uint64_t n) { return random() % n; };
  const std::size_t count = 2 + below(7);
  const std::int64_t span = 4 + static_cast<std::int64_t>(below(20));
  struct Placed {
    RegisterOp op;
    double at;
  };
  std::vector<Placed> placed;
  std::uint64_t next = 1;
  for (std::size_t i = 0; i < count; ++i) {
    std::int64_t begin = static_cast<std::int64_t>(below(static_cast<std::uint64_t>(span)));
    std::int64_t end = begin + static_cast<std::int64_t>(below(8));
    RegisterOp made = read(0, begin, end);
    if (below(2) == 0) {
      made = write(next++, begin, end);
      if (values != Values::unique && below(2) == 0) made = zero(begin, end);
      if (values == Values::repeating) made.value = made.kind == Kind::zero ? 0 : 1 + below(2);
    }
    const double share = static_cast<double>(below(1000)) / 1000;
    placed.push_back({made, static_cast<double>(begin) + share * static_cast<double>(end - begin)});
  }
  std::sort(placed.begin(), placed.end(),
            [](const Placed& a, const Placed& b) { return a.at < b.at; });
  std::uint64_t value = 0;
  const bool broken = below(4) != 0;
  RegisterHistory history;
  for (Placed& p : placed) {
    if (p.op.writes())
      value = p.op.value;
    else
      p.op.value = broken && below(2) == 0 ? below(next + 1) : value;
    history.push_back(p.op);
  }
  std::shuffle(history.begin(), history.end(), random);
  return history;
}

class BruteForce : public testing::TestWithParam<Values> {};

TEST_P(BruteForce, Agrees) {
  std::mt19937_64 random(20261121);
  int good_ones = 0;
  constexpr int histories = 200'000;
  for (int i = 0; i < histories; ++i) {
    const RegisterHistory history = random_history(random, GetParam());
    const bool atomic = atomic_by_definition(history);
    good_ones += atomic ? 1 : 0;
    const bool regular = regular_by_definition(history);
    const bool same = good(history, Consistency::atomic) == atomic &&
                      good(history, Consistency::regular) == regular;
    if (same) continue;
    std::string text;
    for (const RegisterOp& o : history)
      text += (o.kind == Kind::read ? "read " : "write ") + std::to_string(o.value) + " [" +
              std::to_string(o.begin) + ", " + std::to_string(o.end) + "]\n";
    FAIL() << "history " << i << ", atomic " << atomic << ", regular " << regular << "\n" << text;
  }
  // Both kinds have to be there.
  EXPECT_GT(good_ones, histories / 4);
  EXPECT_LT(good_ones, histories * 3 / 4);
}

INSTANTIATE_TEST_SUITE_P(Register, BruteForce,
                         testing::Values(Values::unique, Values::with_zeroes, Values::repeating));

}  // namespace
}  // namespace nbdcheck
