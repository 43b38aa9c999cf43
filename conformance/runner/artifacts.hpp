// The directory of reproducers.  Made when there is something to put into it;
// never overwrites a file that is there.
#pragma once

#include <string>

#include "plan/plan.hpp"

namespace nbdcheck {

class Artifacts {
 public:
  explicit Artifacts(std::string directory) : directory_(std::move(directory)) {}

  // Writes the plan as <rule>.plan, or <rule>-2.plan ... when that name is
  // taken by something else.  Returns the path, "" when it could not be
  // written (then `error()` says why).
  std::string save(const Plan& plan, const std::string& rule);
  // The script for the plan at that path, beside it: <rule>.py, executable.  An
  // older one was made for the same plan, and is replaced.
  std::string save_script(const std::string& script, const std::string& plan_path);
  [[nodiscard]] const std::string& error() const { return error_; }

 private:
  std::string directory_;
  std::string error_;
};

}  // namespace nbdcheck
