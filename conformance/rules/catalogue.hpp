// The catalogue of rules, generated at build time from the pages in
// conformance/rules/<group>/<id>.md.  The only list of rules there is.
#pragma once

#include <span>
#include <string_view>

#include "finding.hpp"

namespace nbdcheck {

struct Rule {
  std::string_view id;        // "data.read-your-writes"
  std::string_view title;     // one sentence
  Severity severity;
  std::string_view since;     // first nbdkit with the callback it speaks of: "1.0"
  std::string_view source;    // "nbdkit-plugin(3) \".pread\""
  std::string_view contract;  // "P-112"
  std::string_view text;      // the page below its header, Markdown
};

std::span<const Rule> all_rules();  // sorted by id
const Rule* find_rule(std::string_view id);

}  // namespace nbdcheck
