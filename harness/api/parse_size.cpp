// nbdkit_parse_size(3): "128", "1k", "64M", "2s"...
#include <cinttypes>
#include <limits>

#include "api/api.hpp"

namespace api = nbdcheck::api;

namespace {

// The factor of a suffix letter; 0: no such suffix.
std::int64_t factor(char suffix) {
  switch (suffix) {
    case '\0':
    case 'b':
    case 'B':
      return 1;
    case 's':
    case 'S':
      return 512;  // disk sectors
    case 'k':
    case 'K':
      return INT64_C(1) << 10;
    case 'm':
    case 'M':
      return INT64_C(1) << 20;
    case 'g':
    case 'G':
      return INT64_C(1) << 30;
    case 't':
    case 'T':
      return INT64_C(1) << 40;
    case 'p':
    case 'P':
      return INT64_C(1) << 50;
    case 'e':
    case 'E':
      return INT64_C(1) << 60;
    default:
      return 0;
  }
}

std::int64_t refuse(const char* text, const char* why) {
  api::report_error("could not parse size " + api::quoted(text) + ": " + why);
  return -1;
}

}  // namespace

NBDCHECK_API std::int64_t nbdkit_parse_size(const char* text) {
  errno = 0;
  char* end = nullptr;
  const std::int64_t number = std::strtoimax(text, &end, 10);
  if (end == text) return refuse(text, "no number");
  if (number < 0) return refuse(text, "a size cannot be negative");
  if (errno != 0) return refuse(text, "too large");

  const std::int64_t scale = factor(*end);
  if (scale == 0) return refuse(text, "unknown suffix");
  if (*end != '\0' && end[1] != '\0') return refuse(text, "text after the suffix");
  if (number > std::numeric_limits<std::int64_t>::max() / scale) return refuse(text, "too large");
  return number * scale;
}
