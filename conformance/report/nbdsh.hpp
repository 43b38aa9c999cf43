// A script that shows a finding on the real nbdkit, without nbdcheck: it needs
// nbdkit and libnbd's Python module.  The operations of the plan are in it as
// readable calls, and what must come of them is worked out there.
#pragma once

#include <string>
#include <tl/expected.hpp>
#include <vector>

#include "finding.hpp"
#include "subject.hpp"

namespace nbdcheck {

// Exit statuses of the script.
inline constexpr int nbdsh_not_shown = 0;
inline constexpr int nbdsh_shown = 1;
inline constexpr int nbdsh_cannot_run = 2;
// What it prints, last, when the module is missing.
inline constexpr std::string_view nbdsh_needs_module = "this script needs libnbd's Python module";

struct NbdshArgument {
  std::string text;  // as given; with a file: what comes before its path
  std::string file;  // a disk image or directory of the user's: works on a copy
};

struct NbdshContext {
  std::string directory;  // where nbdcheck ran: names of files begin there
  std::vector<NbdshArgument> arguments;
  bool shared = false;  // what was flushed is there for later connections
  bool stable = true;   // contents do not change by themselves
  bool several = true;  // connections at the same time
};

// Whether anything of the rule is to be seen by a client of a server that
// serves; "" : yes.  Otherwise why not, for a person.
std::string why_not_over_nbd(const Finding& finding, const Plan& plan);

// REQUIRES: why_not_over_nbd() is "".
std::string nbdsh_script(const Finding& finding, const Plan& plan, const NbdshContext& context);

}  // namespace nbdcheck
