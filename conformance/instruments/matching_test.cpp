#include "instruments/matching.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

namespace nbdcheck {
namespace {

TEST(MatchingBuild, IsThisOneForAnOrdinaryLibrary) {
  const auto own = std::filesystem::read_symlink("/proc/self/exe").string();
  EXPECT_EQ(matching_build("/usr/include/stdio.h", own).value(), "") << "no library at all";
  EXPECT_EQ(matching_build("/no/such/plugin.so", own).value(), "");
}

}  // namespace
}  // namespace nbdcheck
