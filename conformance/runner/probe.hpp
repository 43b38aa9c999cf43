// The first child of a run: starts the plugin, opens the export and finds out
// what kind of disk it is, so that checks ask no more than is promised.
#pragma once

#include <functional>
#include <string>

#include "checks/check_run.hpp"
#include "subject.hpp"

namespace nbdcheck {

// Calls `answer` once when the plugin could be started and opened; reports
// findings or "unknown" otherwise.  With Job::second_probe only looks whether
// the data of a first probe are still there, and answers while it is connected; with
// Job::count_connections it answers once more.
void probe(CheckRun& run, const std::function<void(const Subject&)>& answer);

// The file that ends Job::hold.
std::string let_go_path(const Job& job);

}  // namespace nbdcheck
