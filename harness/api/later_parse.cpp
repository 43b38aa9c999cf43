// nbdkit_parse_probability(3) and nbdkit_parse_delay(3), which nbdkit 1.32 does
// not have yet.
#include <climits>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string_view>

#include "api/api.hpp"
#include "api/later.hpp"

namespace api = nbdcheck::api;

namespace {

int refuse(const char* what, const char* text, const char* why) {
  const std::string subject = what == nullptr ? "(null)" : what;
  api::report_error(subject + ": could not parse " + api::quoted(text) + ": " + why);
  return -1;
}

// The number `text` starts with, and what follows it.
struct Number {
  double value;
  std::string_view rest;
};
std::optional<Number> leading_number(const char* text) {
  char* end = nullptr;
  const double value = std::strtod(text, &end);
  if (end == text) return std::nullopt;
  return Number{value, end};
}

}  // namespace

NBDCHECK_API int nbdkit_parse_probability(const char* what, const char* text, double* r) {
  const auto number = leading_number(text);
  if (!number) return refuse(what, text, "no number");
  double value = number->value;
  if (number->rest == "%") {
    value /= 100;
  } else if (number->rest.starts_with(':') || number->rest.starts_with('/')) {
    const auto divisor = leading_number(number->rest.data() + 1);
    if (!divisor || !divisor->rest.empty()) return refuse(what, text, "no number after the sign");
    // 0:0 reads as "never".
    if (value != 0 || divisor->value != 0) value /= divisor->value;
  } else if (!number->rest.empty()) {
    return refuse(what, text, "text after the number");
  }
  if (!std::isfinite(value) || value < 0) {
    return refuse(what, text, "a probability is finite and not negative");
  }
  if (r != nullptr) *r = value;
  return 0;
}

NBDCHECK_API int nbdkit_parse_delay(const char* what, const char* text, unsigned* sec,
                                    unsigned* nsec) {
  const auto number = leading_number(text);
  if (!number) return refuse(what, text, "no number");
  long double scale = 1;
  if (number->rest == "ms") {
    scale = 1e-3L;
  } else if (number->rest == "us" || number->rest == "\u03bcs" || number->rest == "\u00b5s") {
    scale = 1e-6L;
  } else if (number->rest == "ns") {
    scale = 1e-9L;
  } else if (!number->rest.empty() && number->rest != "s") {
    return refuse(what, text, "unknown unit");
  }
  if (!std::isfinite(number->value) || number->value < 0) {
    return refuse(what, text, "a delay is finite and not negative");
  }
  constexpr long double per_second = 1e9L;
  const long double nanoseconds = std::round(number->value * scale * per_second);
  const long double seconds = std::floor(nanoseconds / per_second);
  if (seconds > static_cast<long double>(INT_MAX)) return refuse(what, text, "too long");
  if (sec != nullptr) *sec = static_cast<unsigned>(seconds);
  if (nsec != nullptr) *nsec = static_cast<unsigned>(nanoseconds - seconds * per_second);
  return 0;
}
