#include "waivers/apply.hpp"

#include <gtest/gtest.h>

namespace nbdcheck {
namespace {

Waiver waiver(std::string rule, std::string plugin, std::string until = "") {
  Waiver waiver;
  waiver.rule = std::move(rule);
  waiver.plugin = std::move(plugin);
  waiver.reason = "because";
  waiver.until = std::move(until);
  return waiver;
}

Finding finding(std::string rule) {
  Finding finding;
  finding.rule = std::move(rule);
  return finding;
}

std::size_t matching(const std::string& pattern, std::vector<std::string> names) {
  const std::vector<Waiver> all{waiver("data.a", pattern)};
  return waivers_for(all, names).size();
}

TEST(Waivers, GoByNameOrGlob) {
  const std::vector<std::string> names{"./build/libdisk.so", "disk", "/home/me/build/libdisk.so",
                                       "libdisk.so", ""};
  for (const char* const pattern :
       {"disk", "libdisk.so", "*", "d?sk", "*/libdisk.so", "/home/*/libdisk.so", "./build/*.so"})
    EXPECT_EQ(matching(pattern, names), 1U) << pattern;
  for (const char* const pattern : {"disc", "lib", "Disk", "libdisk.so/*", "?", "", "[", "disk*x"})
    EXPECT_EQ(matching(pattern, names), 0U) << pattern;
  EXPECT_EQ(matching("odd[1]", {"odd[1]"}), 1U) << "a name is a name, glob or not";
}

TEST(Waivers, TheLastDayIsStillADay) {
  const std::vector<Waiver> all{waiver("data.a", "*", "2026-12-31")};
  EXPECT_NE(waiver_of("data.a", all, "2026-12-31"), nullptr);
  EXPECT_EQ(waiver_of("data.a", all, "2027-01-01"), nullptr);
  EXPECT_EQ(waiver_of("data.b", all, "2026-12-31"), nullptr);
  const std::vector<Waiver> endless{waiver("data.a", "*")};
  EXPECT_NE(waiver_of("data.a", endless, "9999-12-31"), nullptr);
}

TEST(Waivers, AnExpiredOneDoesNotHideAFreshOne) {
  const std::vector<Waiver> all{waiver("data.a", "*", "2020-01-01"), waiver("data.a", "*")};
  EXPECT_EQ(waiver_of("data.a", all, "2026-11-21"), &all[1]);
}

TEST(Waivers, WhatBecameOfEach) {
  const std::vector<Waiver> all{
      waiver("data.found", "*"), waiver("data.kept", "*"), waiver("data.skipped", "*"),
      waiver("data.found", "*", "2026-11-20"), waiver("data.kept", "*", "2026-11-20")};
  const std::vector<Finding> findings{finding("data.found"), finding("data.other")};
  const auto list = outcomes(all, findings, {"data.kept"}, "2026-11-21");
  ASSERT_EQ(list.size(), 5U);
  EXPECT_EQ(list[0].state, WaiverState::used);
  EXPECT_EQ(list[1].state, WaiverState::unneeded);
  EXPECT_EQ(list[2].state, WaiverState::not_checked);
  EXPECT_EQ(list[3].state, WaiverState::expired);
  EXPECT_EQ(list[4].state, WaiverState::expired);
}

TEST(Waivers, TheDayIsThatOfUtc) {
  using std::chrono::sys_days;
  using namespace std::chrono_literals;
  const auto last = sys_days(std::chrono::year(2026) / 12 / 31) + 23h + 59min;
  EXPECT_EQ(day_of(last), "2026-12-31");
  EXPECT_EQ(day_of(last + 1min), "2027-01-01");
}

}  // namespace
}  // namespace nbdcheck
