#include "judge/three_way.hpp"

#include <gtest/gtest.h>

#include <cerrno>

namespace nbdcheck {
namespace {

const Operation read_op{.kind = OpKind::read, .count = 512};

Observation observed(int error, bool reached = true) {
  Observation o;
  o.any = true;
  o.error = error;
  o.reached_plugin = reached;
  return o;
}

Observation map_of(std::vector<Extent> extents) {
  Observation o = observed(0);
  o.map = std::move(extents);
  return o;
}

std::optional<Disagreement> judged(const Observation& ours, bool ours_wrong,
                                   const Observation& theirs, bool theirs_wrong) {
  return three_way(read_op, {ours, ours_wrong}, {theirs, theirs_wrong}, "nbdkit 1.2.3");
}

TEST(ThreeWay, AgreementIsNothing) {
  EXPECT_FALSE(judged(observed(0), false, observed(0), false));
  EXPECT_FALSE(judged(observed(EIO), false, observed(EIO), false));
}

TEST(ThreeWay, WhoContradictsTheReferenceDiskIsWrong) {
  EXPECT_EQ(judged(observed(0), true, observed(0), true)->blame, Blame::plugin);
  EXPECT_EQ(judged(observed(0), true, observed(0), false)->blame, Blame::our_server);
  const auto nbdkit = judged(observed(0), false, observed(0), true);
  EXPECT_EQ(nbdkit->blame, Blame::nbdkit);
  EXPECT_NE(nbdkit->words.find("nbdkit 1.2.3"), std::string::npos);
}

TEST(ThreeWay, ARefusalOfOursAloneIsOurs) {
  EXPECT_EQ(judged(observed(EINVAL, false), false, observed(0), false)->blame, Blame::our_server);
  const auto other = judged(observed(EIO), false, observed(EINVAL), false);
  EXPECT_EQ(other->blame, Blame::undecided);
  EXPECT_NE(other->words.find("EIO in process, EINVAL there"), std::string::npos) << other->words;
}

TEST(ThreeWay, MapsAreComparedByteByByte) {
  // Cut elsewhere, and less of it.
  EXPECT_FALSE(judged(map_of({{0, 100, 0}, {100, 100, 3}}), false,
                      map_of({{0, 50, 0}, {50, 50, 0}, {100, 10, 3}}), false));
  const auto differ = judged(map_of({{0, 100, 0}, {100, 100, 3}}), false,
                             map_of({{0, 99, 0}, {99, 101, 3}}), false);
  ASSERT_TRUE(differ);
  EXPECT_NE(differ->words.find("offset 99"), std::string::npos) << differ->words;
}

}  // namespace
}  // namespace nbdcheck
