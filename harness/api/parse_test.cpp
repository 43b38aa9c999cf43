// The parsers: nbdkit_parse_size, _bool, _int and the later ones.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <limits>
#include <optional>
#include <string>

#include "api/api.hpp"
#include "api/fake_host.hpp"
#include "api/later.hpp"

namespace nbdcheck {
namespace {

constexpr std::int64_t max64 = std::numeric_limits<std::int64_t>::max();

struct SizeCase {
  const char* text;
  std::int64_t value;
};

TEST(ParseSize, TableOfEdges) {
  constexpr SizeCase cases[] = {
      {"0", 0},
      {"010", 10},
      {"+5", 5},
      {" 5", 5},
      {"-0", 0},
      {"1b", 1},
      {"3s", 1536},
      {"1K", 1024},
      {"2m", 2 << 20},
      {"1g", 1 << 30},
      {"1T", std::int64_t{1} << 40},
      {"1p", std::int64_t{1} << 50},
      {"7E", std::int64_t{7} << 60},
      {"9223372036854775807", max64},
      {"8E", -1},
      {"9223372036854775808", -1},
      {"", -1},
      {"-1", -1},
      {"k", -1},
      {"0x10", -1},
      {"1.5G", -1},
      {"1kB", -1},
      {"1KiB", -1},
      {"1 ", -1},
      {"1 k", -1},
      {"1z", -1},
  };
  for (const SizeCase& c : cases) {
    FakeHost host;
    EXPECT_EQ(nbdkit_parse_size(c.text), c.value) << c.text;
    EXPECT_EQ(host.errors.size(), c.value < 0 ? 1u : 0u) << c.text;
  }
}

RC_GTEST_PROP(ParseSize, ReadsWhatItPrints, ()) {
  const FakeHost host;
  const auto number = *rc::gen::inRange<std::int64_t>(0, 1 << 20);
  const auto power = *rc::gen::inRange(0, 4);
  const char letter = "bkmg"[power];
  RC_ASSERT(nbdkit_parse_size((std::to_string(number) + letter).c_str()) == number << (10 * power));
}

TEST(ParseBool, WordsInAnyCaseAndNothingElse) {
  FakeHost host;
  for (const char* text : {"1", "true", "T", "yes", "Y", "ON"}) {
    EXPECT_EQ(nbdkit_parse_bool(text), 1) << text;
  }
  for (const char* text : {"0", "False", "f", "NO", "n", "off"}) {
    EXPECT_EQ(nbdkit_parse_bool(text), 0) << text;
  }
  EXPECT_TRUE(host.errors.empty());
  for (const char* text : {"", "01", "2", "enable", " yes", "yes ", "tru"}) {
    EXPECT_EQ(nbdkit_parse_bool(text), -1) << text;
  }
  EXPECT_EQ(host.errors.size(), 7u);
}

TEST(ParseInt, RangeAndSyntax) {
  FakeHost host;
  int number = 77;
  EXPECT_EQ(nbdkit_parse_int("n", "-0x10", &number), 0);
  EXPECT_EQ(number, -16);
  EXPECT_EQ(nbdkit_parse_int("n", " +010", &number), 0);
  EXPECT_EQ(number, 8);
  EXPECT_EQ(nbdkit_parse_int("n", "2147483647", nullptr), 0);
  number = 77;
  for (const char* text : {"2147483648", "-2147483649", "", "08", "1 ", "1x", "0x", "abc"}) {
    EXPECT_EQ(nbdkit_parse_int("n", text, &number), -1) << text;
    EXPECT_EQ(number, 77) << text;
  }
  ASSERT_EQ(host.errors.size(), 8u);
  EXPECT_NE(host.errors[0].find("n: "), std::string::npos) << "names the parameter";
}

TEST(ParseInt, UnsignedTypesRefuseAnyMinusSign) {
  const FakeHost host;
  unsigned number = 77;
  for (const char* text : {"-1", "-0", " -1", "\t-5"}) {
    EXPECT_EQ(nbdkit_parse_unsigned("n", text, &number), -1) << text;
  }
  EXPECT_EQ(number, 77u);
  std::uint64_t large = 0;
  EXPECT_EQ(nbdkit_parse_uint64_t("n", "0xffffffffffffffff", &large), 0);
  EXPECT_EQ(large, std::numeric_limits<std::uint64_t>::max());
  EXPECT_EQ(nbdkit_parse_uint64_t("n", "18446744073709551616", &large), -1);
}

template <typename Integer>
void check_limits(int (*function)(const char*, const char*, Integer*)) {
  using Limits = std::numeric_limits<Integer>;
  using Wide = std::conditional_t<std::is_signed_v<Integer>, __int128, unsigned __int128>;
  const auto text = [](Wide wide) {  // enough for one past an 64-bit type
    std::string digits;
    const bool negative = wide < 0;
    if (negative) wide = -wide;
    do {
      digits.insert(digits.begin(), static_cast<char>('0' + static_cast<int>(wide % 10)));
      wide /= 10;
    } while (wide != 0);
    return (negative ? "-" : "") + digits;
  };
  Integer value = 1;
  EXPECT_EQ(function("n", text(Limits::max()).c_str(), &value), 0);
  EXPECT_EQ(value, Limits::max());
  EXPECT_EQ(function("n", text(Limits::min()).c_str(), &value), 0);
  EXPECT_EQ(value, Limits::min());
  EXPECT_EQ(function("n", text(Wide{Limits::max()} + 1).c_str(), &value), -1);
  if constexpr (std::is_signed_v<Integer>) {
    EXPECT_EQ(function("n", text(Wide{Limits::min()} - 1).c_str(), &value), -1);
  }
}

TEST(ParseInt, LimitsOfEveryType) {
  const FakeHost host;
  check_limits(nbdkit_parse_int8_t);
  check_limits(nbdkit_parse_uint8_t);
  check_limits(nbdkit_parse_int16_t);
  check_limits(nbdkit_parse_uint16_t);
  check_limits(nbdkit_parse_int32_t);
  check_limits(nbdkit_parse_uint32_t);
  check_limits(nbdkit_parse_int64_t);
  check_limits(nbdkit_parse_uint64_t);
}

TEST(ParseProbability, FormsOfTheManual) {
  const FakeHost host;
  const auto parse = [](const char* text) -> std::optional<double> {
    double value = -1;
    if (nbdkit_parse_probability("p", text, &value) != 0) return std::nullopt;
    return value;
  };
  EXPECT_DOUBLE_EQ(parse("0.1").value(), 0.1);
  EXPECT_DOUBLE_EQ(parse("1e-1").value(), 0.1);
  EXPECT_DOUBLE_EQ(parse("10%").value(), 0.1);
  EXPECT_DOUBLE_EQ(parse("1:10").value(), 0.1);
  EXPECT_DOUBLE_EQ(parse("1/10").value(), 0.1);
  EXPECT_DOUBLE_EQ(parse("150%").value(), 1.5);
  EXPECT_DOUBLE_EQ(parse("0:0").value(), 0);
  for (const char* text : {"", "-1", "x", "1:", "1:0", "inf", "nan", "10%%", "1:10x"}) {
    EXPECT_FALSE(parse(text).has_value()) << text;
  }
}

TEST(ParseDelay, UnitsAndErrors) {
  const FakeHost host;
  using Delay = std::pair<unsigned, unsigned>;
  const auto parse = [](const char* text) -> std::optional<Delay> {
    unsigned sec = 5;
    unsigned nsec = 6;
    if (nbdkit_parse_delay("d", text, &sec, &nsec) == 0) return Delay(sec, nsec);
    EXPECT_EQ(Delay(sec, nsec), Delay(5, 6)) << "untouched on error";
    return std::nullopt;
  };
  EXPECT_EQ(parse("1"), Delay(1, 0));
  EXPECT_EQ(parse("1.2"), Delay(1, 200'000'000));
  EXPECT_EQ(parse("1.2s"), Delay(1, 200'000'000));
  EXPECT_EQ(parse("1200ms"), Delay(1, 200'000'000));
  EXPECT_EQ(parse("1.2us"), Delay(0, 1200));
  EXPECT_EQ(parse("120\u03bcs"), Delay(0, 120'000));
  EXPECT_EQ(parse("1ns"), Delay(0, 1));
  for (const char* text : {"", "-1", "1m", "s", "1 s", "9999999999", "inf"}) {
    EXPECT_EQ(parse(text), std::nullopt) << text;
  }
}

}  // namespace
}  // namespace nbdcheck
