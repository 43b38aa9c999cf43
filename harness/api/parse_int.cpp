// nbdkit_parse_int(3) and its sisters for the other integer types.
#include <cinttypes>
#include <limits>
#include <string>
#include <type_traits>

#include "api/api.hpp"

namespace api = nbdcheck::api;

namespace {

bool is_blank(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

// strtoumax takes "-1" as the largest number; nbdkit refuses any minus sign.
bool has_minus_sign(const char* text) {
  while (is_blank(*text)) ++text;
  return *text == '-';
}

int refuse_number(const char* what, const char* text, const std::string& why) {
  const std::string subject = what == nullptr ? "(null)" : what;
  api::report_error(subject + ": could not parse number " + api::quoted(text) + ": " + why);
  return -1;
}

template <typename Integer>
int parse(const char* what, const char* text, Integer* result) {
  using Wide = std::conditional_t<std::is_signed_v<Integer>, std::intmax_t, std::uintmax_t>;
  using Limits = std::numeric_limits<Integer>;
  errno = 0;
  char* end = nullptr;
  Wide number = 0;
  if constexpr (std::is_signed_v<Integer>) {
    number = std::strtoimax(text, &end, 0);
  } else {
    if (has_minus_sign(text)) return refuse_number(what, text, "must not be negative");
    number = std::strtoumax(text, &end, 0);
  }
  if (errno != 0 || number < Wide{Limits::min()} || number > Wide{Limits::max()}) {
    errno = ERANGE;
    return refuse_number(what, text, "out of range");
  }
  if (end == text) return refuse_number(what, text, "no number");
  if (*end != '\0') return refuse_number(what, text, "text after the number");
  if (result != nullptr) *result = static_cast<Integer>(number);
  return 0;
}

}  // namespace

NBDCHECK_API int nbdkit_parse_int(const char* what, const char* text, int* r) {
  return parse(what, text, r);
}
NBDCHECK_API int nbdkit_parse_unsigned(const char* what, const char* text, unsigned* r) {
  return parse(what, text, r);
}
NBDCHECK_API int nbdkit_parse_int8_t(const char* what, const char* text, std::int8_t* r) {
  return parse(what, text, r);
}
NBDCHECK_API int nbdkit_parse_uint8_t(const char* what, const char* text, std::uint8_t* r) {
  return parse(what, text, r);
}
NBDCHECK_API int nbdkit_parse_int16_t(const char* what, const char* text, std::int16_t* r) {
  return parse(what, text, r);
}
NBDCHECK_API int nbdkit_parse_uint16_t(const char* what, const char* text, std::uint16_t* r) {
  return parse(what, text, r);
}
NBDCHECK_API int nbdkit_parse_int32_t(const char* what, const char* text, std::int32_t* r) {
  return parse(what, text, r);
}
NBDCHECK_API int nbdkit_parse_uint32_t(const char* what, const char* text, std::uint32_t* r) {
  return parse(what, text, r);
}
NBDCHECK_API int nbdkit_parse_int64_t(const char* what, const char* text, std::int64_t* r) {
  return parse(what, text, r);
}
NBDCHECK_API int nbdkit_parse_uint64_t(const char* what, const char* text, std::uint64_t* r) {
  return parse(what, text, r);
}
