// nbdkit_parse_* of ours against reference answers: the documented grammar, worked
// out by counting in 128 bits, where ours goes by the C library.
//
// The first byte chooses the function, the rest is the text.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <optional>
#include <string>
#include <string_view>

extern "C" {
int nbdkit_parse_bool(const char* text);
std::int64_t nbdkit_parse_size(const char* text);
int nbdkit_parse_int8_t(const char* what, const char* text, std::int8_t* r);
int nbdkit_parse_uint8_t(const char* what, const char* text, std::uint8_t* r);
int nbdkit_parse_int16_t(const char* what, const char* text, std::int16_t* r);
int nbdkit_parse_uint16_t(const char* what, const char* text, std::uint16_t* r);
int nbdkit_parse_int32_t(const char* what, const char* text, std::int32_t* r);
int nbdkit_parse_uint32_t(const char* what, const char* text, std::uint32_t* r);
int nbdkit_parse_int64_t(const char* what, const char* text, std::int64_t* r);
int nbdkit_parse_uint64_t(const char* what, const char* text, std::uint64_t* r);
}

namespace {

__extension__ using Wide = __int128;
constexpr Wide huge = Wide{1} << 100;  // further digits change nothing

[[noreturn]] void differs(const char* what, const std::string& text) {
  std::fprintf(stderr, "%s of \"%s\" is not the reference answer\n", what, text.c_str());
  std::abort();
}

bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

int digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'z') return c - 'a' + 10;
  if (c >= 'A' && c <= 'Z') return c - 'A' + 10;
  return 99;
}

struct Number {
  Wide value;
  bool negative;
  std::string_view rest;
};

// strtol(3) "The string may begin ...", base 10, or 0 for C's own way.
std::optional<Number> number_in(std::string_view text, int base) {
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  bool negative = false;
  if (!text.empty() && (text.front() == '-' || text.front() == '+')) {
    negative = text.front() == '-';
    text.remove_prefix(1);
  }
  if (base == 0) {
    base = 10;
    if (text.size() > 2 && text[0] == '0' && (text[1] == 'x' || text[1] == 'X') &&
        digit(text[2]) < 16) {
      base = 16;
      text.remove_prefix(2);
    } else if (!text.empty() && text[0] == '0') {
      base = 8;
    }
  }
  if (text.empty() || digit(text.front()) >= base) return std::nullopt;
  Wide value = 0;
  while (!text.empty() && digit(text.front()) < base) {
    if (value < huge) value = value * base + digit(text.front());
    text.remove_prefix(1);
  }
  return Number{negative ? -value : value, negative, text};
}

template <typename Integer>
void check_integer(const char* name, int (*parse)(const char*, const char*, Integer*),
                   const std::string& text) {
  Integer result = 42;
  const int status = parse("number", text.c_str(), &result);
  const auto number = number_in(text, 0);
  const bool fits = number && number->rest.empty() &&
                    number->value >= std::numeric_limits<Integer>::min() &&
                    number->value <= std::numeric_limits<Integer>::max() &&
                    // "nbdkit_parse_unsigned ... negative numbers are not permitted"
                    (std::numeric_limits<Integer>::is_signed || !number->negative);
  if (fits != (status == 0)) differs(name, text);
  if (fits && result != static_cast<Integer>(number->value)) differs(name, text);
}

void check_size(const std::string& text) {
  const std::int64_t got = nbdkit_parse_size(text.c_str());
  std::int64_t wanted = -1;
  const auto number = number_in(text, 10);
  if (number && number->value >= 0 && number->rest.size() <= 1) {
    int shift = -1;
    const char suffix = number->rest.empty() ? 'b' : number->rest.front();
    constexpr std::string_view letters = "bkmgtpe";
    const auto place = letters.find(static_cast<char>(suffix | 0x20));
    if (place != letters.npos) shift = static_cast<int>(place) * 10;
    if (suffix == 's' || suffix == 'S') shift = 9;
    const bool letter = (suffix >= 'a' && suffix <= 'z') || (suffix >= 'A' && suffix <= 'Z');
    if (letter && shift >= 0 && number->value <= std::numeric_limits<std::int64_t>::max()) {
      const Wide value = number->value << shift;
      if (value <= std::numeric_limits<std::int64_t>::max())
        wanted = static_cast<std::int64_t>(value);
    }
  }
  if (got != wanted) differs("nbdkit_parse_size", text);
}

std::string lower(std::string text) {
  for (char& c : text)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c | 0x20);
  return text;
}

void check_bool(const std::string& text) {
  const std::string word = lower(text);
  int wanted = -1;
  for (const char* yes : {"1", "true", "t", "yes", "y", "on"})
    if (word == yes) wanted = 1;
  for (const char* no : {"0", "false", "f", "no", "n", "off"})
    if (word == no) wanted = 0;
  if (nbdkit_parse_bool(text.c_str()) != wanted) differs("nbdkit_parse_bool", text);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string whole(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::string text(whole.c_str());  // C knows no more of it
  switch (data[0] % 10) {
    case 0:
      check_bool(text);
      break;
    case 1:
      check_size(text);
      break;
    case 2:
      check_integer("nbdkit_parse_int8_t", nbdkit_parse_int8_t, text);
      break;
    case 3:
      check_integer("nbdkit_parse_uint8_t", nbdkit_parse_uint8_t, text);
      break;
    case 4:
      check_integer("nbdkit_parse_int16_t", nbdkit_parse_int16_t, text);
      break;
    case 5:
      check_integer("nbdkit_parse_uint16_t", nbdkit_parse_uint16_t, text);
      break;
    case 6:
      check_integer("nbdkit_parse_int32_t", nbdkit_parse_int32_t, text);
      break;
    case 7:
      check_integer("nbdkit_parse_uint32_t", nbdkit_parse_uint32_t, text);
      break;
    case 8:
      check_integer("nbdkit_parse_int64_t", nbdkit_parse_int64_t, text);
      break;
    default:
      check_integer("nbdkit_parse_uint64_t", nbdkit_parse_uint64_t, text);
  }
  return 0;
}
