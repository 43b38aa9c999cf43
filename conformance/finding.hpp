// One thing that is wrong with a plugin, with all the evidence a person needs
// to believe it and to fix it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "plan/plan.hpp"

namespace nbdcheck {

enum class Severity : std::uint8_t { quality, should, must };
std::string_view name(Severity severity);  // "QUALITY", "SHOULD", "MUST"

// Why a finding does not count, and until when.
struct Waived {
  std::string reason;
  std::string until;  // "2026-12-31"; empty: for good
};

struct Finding {
  std::string rule;                    // id of a rule page
  Severity severity = Severity::must;  // of the rule
  std::string check;                   // id of the check that saw it
  std::string title;                   // the rule's title
  std::string message;                 // what happened, one or two sentences
  std::string expected;                // may be empty
  std::string actual;                  // may be empty
  // Further evidence, ready to print, line by line: hex around the first
  // differing byte, who wrote what, a backtrace.
  std::vector<std::string> details;
  // The sequence that shows it; no value: nothing smaller than the check
  // itself (replayed by check and seed).
  std::optional<Plan> plan;
  std::string schedule;                 // of a plan without operations: Plan::schedule
  std::size_t original_operations = 0;  // before shrinking
  // How often the plan showed it, in how many runs; no runs: not counted.
  unsigned shown = 0;
  unsigned runs = 0;
  int occurrences = 1;  // the same rule seen again
  // Set once it is known:
  std::string plan_path;
  std::string replay_command;
  std::string nbdsh_path;                   // script for the real nbdkit; may be empty
  std::optional<bool> confirmed_on_nbdkit;  // whether it showed the bug there; not run: none
  std::string on_nbdkit;                    // for a person: what came of it, or why there is none
  std::optional<Waived> waived;
};

}  // namespace nbdcheck
