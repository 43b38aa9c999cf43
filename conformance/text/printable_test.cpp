#include "text/printable.hpp"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace nbdcheck {
namespace {

TEST(Printable, KeepsOrdinaryText) {
  EXPECT_EQ(printable("size=1G \\ \"x\" gr\xC3\xBC\xC3\x9F"),
            "size=1G \\ \"x\" gr\xC3\xBC\xC3\x9F");
}

TEST(Printable, ShowsControlsAndEscapes) {
  EXPECT_EQ(printable("\x1b[31mred\a\n"), "\\x1b[31mred\\x07\\n");
  EXPECT_EQ(printable("\xC2\x9B"
                      "31m"),
            "\\u009b31m");  // CSI as one C1 character
  EXPECT_EQ(printable("a\xE2\x80\xAE"
                      "b"),
            "a\\u202eb");  // right-to-left override
  EXPECT_EQ(printable(std::string_view("a\0b", 3)), "a\\x00b");
}

TEST(Printable, ShowsBytesThatAreNotUtf8) {
  EXPECT_EQ(printable("\xFF"), "\\xff");
  EXPECT_EQ(printable("\xC0\xAF"), "\\xc0\\xaf");                    // overlong
  EXPECT_EQ(printable("\xED\xA0\x80"), "\\xed\\xa0\\x80");           // surrogate
  EXPECT_EQ(printable("\xF4\x90\x80\x80"), "\\xf4\\x90\\x80\\x80");  // above U+10FFFF
  EXPECT_EQ(printable("x\xE2\x82"), "x\\xe2\\x82");                  // cut off
}

TEST(Printable, SplitsLines) {
  EXPECT_EQ(printable_lines("a\r\n\tb\n\nc\n"), (std::vector<std::string>{"a", "\\tb", "", "c"}));
  EXPECT_TRUE(printable_lines("").empty());
}

TEST(Printable, ReplacesWhatIsNotUtf8) {
  EXPECT_EQ(valid_utf8("a\xFF\xC3\xBC"), "a\xEF\xBF\xBD\xC3\xBC");
}

RC_GTEST_PROP(Escape, GivesBackTheVeryBytes, (const std::string& text)) {
  const std::string escaped = escape(text);
  for (const char c : escaped) RC_ASSERT(static_cast<unsigned char>(c) >= 0x20);
  RC_ASSERT(!escaped.starts_with(' ') && !escaped.ends_with(' '));
  RC_ASSERT(unescape(escaped) == text);
}

TEST(Escape, KeepsSpacesFromBeingStripped) {
  EXPECT_EQ(escape(" a b "), "\\x20a b\\x20");
  EXPECT_EQ(unescape(escape(" ")), " ");
}

TEST(Escape, RefusesMalformedEscapes) {
  for (const char* bad : {"\\", "\\q", "\\x", "\\x1", "\\x1g", "\\xg1"}) {
    EXPECT_FALSE(unescape(bad)) << bad;
  }
}

TEST(Quoted, ShortensAndSanitises) {
  EXPECT_EQ(quote("a\nb"), "'a\\nb'");
  EXPECT_EQ(quote(std::string(1000, 'x')), "'" + std::string(60, 'x') + "...'");
}

TEST(Width, CountsColumns) {
  EXPECT_EQ(display_width("a\xC3\xBC"), 2U);
  EXPECT_EQ(display_width("\xE6\xBC\xA2"), 2U);  // a Han character
  EXPECT_EQ(fit("a\xE6\xBC\xA2"
                "b",
                2),
            "a");
  EXPECT_EQ(fit("abc", 9), "abc");
}

TEST(Wrap, FillsLines) {
  EXPECT_EQ(wrap("one two\nthree  four", 9),
            (std::vector<std::string>{"one two", "three", "four"}));
  EXPECT_EQ(wrap("incomprehensible x", 4), (std::vector<std::string>{"incomprehensible", "x"}));
  EXPECT_TRUE(wrap("  \n", 9).empty());
}

TEST(Commas, SeparateThousands) {
  EXPECT_EQ(with_commas(0), "0");
  EXPECT_EQ(with_commas(999), "999");
  EXPECT_EQ(with_commas(1000), "1,000");
  EXPECT_EQ(with_commas(18446744073709551615U), "18,446,744,073,709,551,615");
}

}  // namespace
}  // namespace nbdcheck
