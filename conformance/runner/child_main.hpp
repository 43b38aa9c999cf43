// The child's side of a job: probe, check or plan.
#pragma once

#include <functional>
#include <string_view>

#include "job.hpp"

namespace nbdcheck {

// Runs the job; events go to `emit`, one line each, "done" last.
void run_job(const Job& job, const std::function<void(std::string_view)>& emit);

// main() of a child process started by the runner; does not return.
[[noreturn]] void child_main();

}  // namespace nbdcheck
