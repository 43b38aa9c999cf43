// Running the plugin of a check under the real nbdkit as well.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "checks/check_run.hpp"
#include "nbdcheck/nbdkit.hpp"

namespace nbdcheck {

// REQUIRES: the request names an nbdkit.
NbdkitProgram nbdkit_program(const Request& request);
// The socket goes where the plugin has nothing to do.
NbdkitOptions nbdkit_options(const CheckRun& run, std::vector<std::string> arguments);

// "nbdkit 1.32.5"
std::string nbdkit_name(const Request& request);

// What became of the real nbdkit: a finding when it died with the plugin in it,
// else "could not be decided", and why.
void report_trouble(CheckRun& run, const NbdkitTrouble& trouble, bool in_sequence);

// "" while the connection stands.
std::string lost_connection(SequenceRunner& sequence, unsigned connection);

// Ends the process; reports what goes wrong then.
void stop_nbdkit(CheckRun& run, NbdkitProcess& process);

// Requests at once to the plugin in the real nbdkit; reports what goes wrong
// with nbdkit before, meanwhile and after.
void in_nbdkit(CheckRun& run, std::vector<std::string> arguments,
               const std::function<void(Target&)>& body);

// The plugin twice: in process, and in the real nbdkit with the job's second
// arguments.  Reports what goes wrong at the start of either, and at nbdkit's
// end; `compare` says whether the plugin in process may end as well.
void beside_nbdkit(CheckRun& run,
                   const std::function<bool(Server& ours, NbdkitProcess& theirs)>& compare);

}  // namespace nbdcheck
