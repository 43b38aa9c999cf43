// Makes the threads of a plugin run into each other while its requests run at once.
#pragma once

#include <string>

namespace nbdcheck {

class Interference {
 public:
  Interference() = default;
  virtual ~Interference() = default;
  Interference(const Interference&) = delete;
  Interference& operator=(const Interference&) = delete;

  // Why nothing is done to this plugin; "": it is.
  [[nodiscard]] virtual std::string unavailable() const { return ""; }
  // How much was done, for the report.
  [[nodiscard]] virtual std::string remark() const { return ""; }
};

}  // namespace nbdcheck
