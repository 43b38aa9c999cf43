#include "waivers/read.hpp"

#include <gtest/gtest.h>

namespace nbdcheck {
namespace {

const Rule rules[] = {
    {"data.first", "The first", Severity::must, "1.0", "s", "P-1", "T\n"},
    {"zero.second", "The second", Severity::should, "1.12", "s", "P-2", "T\n"},
};

std::string wrong(const std::string& text) {
  const auto waivers = parse_waivers(text, "w.toml", rules);
  return waivers ? "nothing" : waivers.error();
}

std::string with(const std::string& lines) {
  return "[[waiver]]\nrule = \"data.first\"\nplugin = \"disk\"\n" + lines;
}

TEST(WaiverFile, IsRead) {
  const auto waivers = parse_waivers(
      "# known\n[[waiver]]\nrule = \"data.first\"\nplugin = \"disk\"\nreason = \"bug 12\"\n"
      "until = \"2026-12-31\"\n\n[[waiver]]\nrule = 'zero.second'\nplugin = '*/lib*.so'\n"
      "reason = \"\"\"two\nlines\"\"\"\nuntil = 2028-02-29\n\n[[waiver]]\nrule = \"data.first\"\n"
      "plugin = \"*\"\nreason = \"for good\"\n",
      "w.toml", rules);
  ASSERT_TRUE(waivers) << waivers.error();
  ASSERT_EQ(waivers->size(), 3U);
  EXPECT_EQ((*waivers)[0].rule, "data.first");
  EXPECT_EQ((*waivers)[0].plugin, "disk");
  EXPECT_EQ((*waivers)[0].reason, "bug 12");
  EXPECT_EQ((*waivers)[0].until, "2026-12-31");
  EXPECT_EQ((*waivers)[0].where, "w.toml:2");
  EXPECT_EQ((*waivers)[1].until, "2028-02-29");
  EXPECT_EQ((*waivers)[1].reason, "two\nlines");
  EXPECT_EQ((*waivers)[1].where, "w.toml:8");
  EXPECT_EQ((*waivers)[2].until, "");
}

TEST(WaiverFile, OneLineWhateverIsWrong) {
  const std::string told = wrong("[[waiver]]\nreason =n\x1f [[waiver]]\n");
  EXPECT_TRUE(told.starts_with("w.toml:2: ")) << told;
  for (const char c : told) EXPECT_GE(static_cast<unsigned char>(c), ' ') << told;
}

TEST(WaiverFile, MayBeEmpty) {
  EXPECT_TRUE(parse_waivers("", "w.toml", rules)->empty());
  EXPECT_TRUE(parse_waivers("# none yet\n", "w.toml", rules)->empty());
}

TEST(WaiverFile, WhatIsWrongIsNamedByLine) {
  EXPECT_EQ(wrong(with("")), "w.toml:1: the waiver has no reason");
  EXPECT_EQ(wrong(with("reason = \"\"\n")), "w.toml:4: reason is a text that says something");
  EXPECT_EQ(wrong(with("reason = \" \\n\"\n")), "w.toml:4: reason is a text that says something");
  EXPECT_EQ(wrong(with("reason = 7\n")), "w.toml:4: reason is a text that says something");
  EXPECT_EQ(wrong(with("reason = \"r\"\nuntill = \"2026-12-31\"\n")),
            "w.toml:5: unknown key 'untill'; keys are rule, plugin, reason, until");
  EXPECT_EQ(wrong("[[waiver]]\nplugin = \"*\"\nreason = \"r\"\nrule = \"data.frist\"\n"),
            "w.toml:4: unknown rule 'data.frist'; did you mean data.first?");
  EXPECT_EQ(wrong("[[waiver]]\nplugin = \"*\"\nreason = \"r\"\nrule = \"quux.quux\"\n"),
            "w.toml:4: unknown rule 'quux.quux'; 'nbdcheck list --rules' names them all");
  EXPECT_EQ(wrong("[waiver]\nrule = \"data.first\"\n"),
            "w.toml:1: a waiver begins with [[waiver]]");
  EXPECT_EQ(wrong("waiver = [1]\n"), "w.toml:1: a waiver begins with [[waiver]]");
  EXPECT_EQ(wrong("# x\n[[waivers]]\n"), "w.toml:2: unknown key 'waivers'; expected [[waiver]]");
  EXPECT_EQ(wrong("[[waiver]]\n").substr(0, 9), "w.toml:1:");
  EXPECT_EQ(wrong(with("reason = \"" + std::string(1001, 'r') + "\"\n")),
            "w.toml:4: reason has more than 1000 bytes");
}

TEST(WaiverFile, ADayIsOneOfTheCalendar) {
  for (const char* const day :
       {"\"2026-02-29\"", "\"2026-13-01\"", "\"2026-00-01\"", "\"2026-12-32\"", "\"26-12-31\"",
        "\"2026-12-31 \"", "\"2026/12/31\"", "\"soon\"", "\"\"", "20261231",
        "2026-12-31T00:00:00Z"})
    EXPECT_EQ(wrong(with("reason = \"r\"\nuntil = " + std::string(day) + "\n")),
              "w.toml:5: until is a day, such as \"2026-12-31\"")
        << day;
}

TEST(WaiverFile, TheFirstFaultIsTold) {
  EXPECT_EQ(wrong("[[waiver]]\nzzz = 1\nplugin = \"p\"\nreason = \"r\"\nuntil = 3\n").substr(0, 9),
            "w.toml:1:")
      << "the rule is missing";
  EXPECT_EQ(wrong(with("zzz = 1\nreason = 2\n")).substr(0, 9), "w.toml:4:");
}

TEST(WaiverFile, WhatIsNoToml) {
  EXPECT_EQ(wrong("[[waiver]]\nrule = data.first\n").substr(0, 9), "w.toml:2:");
  EXPECT_EQ(wrong("\xff\xfe").substr(0, 9), "w.toml:1:");
  EXPECT_EQ(wrong(std::string(100'000, '[')).substr(0, 9), "w.toml:1:");
  EXPECT_EQ(wrong(std::string("rule\0", 5)).substr(0, 9), "w.toml:1:");
}

TEST(WaiverFile, MustBeAFile) {
  EXPECT_EQ(read_waivers("/no/such/file", rules).error(),
            "/no/such/file: No such file or directory");
  EXPECT_EQ(read_waivers("/", rules).error(), "/: is a directory, not a file of waivers");
  EXPECT_EQ(read_waivers("/dev/zero", rules).error(),
            "/dev/zero: is a device, not a file of waivers");
}

}  // namespace
}  // namespace nbdcheck
