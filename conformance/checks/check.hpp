// A check: one file in this directory that registers itself.  It names the
// rules it judges and says whether it applies to a plugin; the runner gives it
// a child of its own.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "subject.hpp"

namespace nbdcheck {

class CheckRun;

struct Check {
  std::string_view id;       // "data.random"; the part before the dot is its group
  std::string_view summary;  // one line
  std::vector<std::string_view> rules;
  // Share of the run's time and operations that a long check wants, relative
  // to others; 0: short and fixed, no budget.
  double weight = 0;
  // Empty: applies.  Otherwise why not, for a person: "no .trim".
  std::function<std::string(const Subject&)> not_applicable;
  std::function<void(CheckRun&)> run;
  // Needs nothing but the file: runs even when the plugin cannot be started.
  bool static_only = false;
  // Runs the plugin under the real nbdkit as well: not part of the quick
  // profile, and the job has a second set of arguments.
  bool beside_nbdkit = false;
};

// Sorted by id.
std::span<const Check> all_checks();
const Check* find_check(std::string_view id);

// `const Registration r{{.id = ..., ...}};` at namespace scope registers.
struct Registration {
  explicit Registration(Check check);
};

}  // namespace nbdcheck
