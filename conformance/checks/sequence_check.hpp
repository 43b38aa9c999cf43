// The common shape of the checks that run a random sequence against the
// reference disk: they differ only in aim, mix and options.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "checks/check_run.hpp"
#include "plan/generate.hpp"

namespace nbdcheck {

// What the export under test permits, for the generator.
Aim aim_of(const Subject& subject);

// Removes from `mix` what the plugin does not offer.
Mix possible(Mix mix, const Subject& subject);

struct SequenceSpec {
  Aim aim;
  Mix mix;
  SequenceOptions options;
  // Run before anything random.
  std::vector<Operation> first = {};
  // Read everything again at the end: small exports whole, large ones around
  // the places that were aimed at.
  bool sweep = true;
};

// Generates, runs and judges until the budget is used up or something is
// wrong.  Operations that the plugin refuses are no finding; a check in which
// nothing succeeded is "unknown".
void run_random_sequence(CheckRun& run, const SequenceSpec& spec);

// Runs a given list of operations the same way (boundaries, large requests, a
// replayed plan).  Returns false when something was violated.
bool run_fixed_sequence(CheckRun& run, const std::vector<Operation>& operations,
                        const SequenceOptions& options);

// Steps one operation: log, run, judge, report.  False: violated, stop.
bool step(CheckRun& run, SequenceRunner& sequence, const Operation& op);

// Whether there is a map to ask for, whatever .can_extents says.
bool maps_extents(const Subject& subject);

// Why a check of connections that are open together does not apply; "" when it does.
std::string needs_two_connections(const Subject& subject);
// The same for any that writes.
std::string needs_writing(const Subject& subject);
// The same for any that reads contents.
std::string needs_contents(const Subject& subject);

}  // namespace nbdcheck
