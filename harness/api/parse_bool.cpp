// nbdkit_parse_bool(3).
#include <strings.h>

#include <algorithm>
#include <array>

#include "api/api.hpp"

namespace api = nbdcheck::api;

NBDCHECK_API int nbdkit_parse_bool(const char* text) {
  static constexpr std::array yes{"1", "true", "t", "yes", "y", "on"};
  static constexpr std::array no{"0", "false", "f", "no", "n", "off"};
  const auto equal = [text](const char* word) { return strcasecmp(text, word) == 0; };
  if (std::any_of(yes.begin(), yes.end(), equal)) return 1;
  if (std::any_of(no.begin(), no.end(), equal)) return 0;
  api::report_error("could not parse boolean " + api::quoted(text));
  return -1;
}
