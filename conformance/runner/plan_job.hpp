// The job of a child that runs the operations of a plan file and judges them.
#pragma once

#include <string>

#include "checks/check_run.hpp"
#include "plan/plan.hpp"

namespace nbdcheck {

// In process, or in the real nbdkit, as the job says.
void run_plan(CheckRun& run);

// The first operation that this export does not have to serve, because it is
// smaller or can do less than when the plan was made: "operation 3, ..., ...".
// "": the plan applies.
std::string where_it_diverges(const Plan& plan, const Subject& subject);

}  // namespace nbdcheck
