// Colours, for those who want them.
#pragma once

#include <string>
#include <string_view>

#include "finding.hpp"

namespace nbdcheck {

class Paint {
 public:
  explicit Paint(bool colour) : colour_(colour) {}

  [[nodiscard]] std::string bold(std::string_view text) const { return in("1", text); }
  [[nodiscard]] std::string dim(std::string_view text) const { return in("2", text); }
  [[nodiscard]] std::string good(std::string_view text) const { return in("1;32", text); }
  [[nodiscard]] std::string bad(std::string_view text) const { return in("1;31", text); }
  [[nodiscard]] std::string warning(std::string_view text) const { return in("1;33", text); }
  [[nodiscard]] std::string severity(Severity severity, std::string_view text) const {
    if (severity == Severity::must) return bad(text);
    return severity == Severity::should ? warning(text) : bold(text);
  }

 private:
  [[nodiscard]] std::string in(std::string_view code, std::string_view text) const {
    if (!colour_ || text.empty()) return std::string(text);
    return "\x1b[" + std::string(code) + "m" + std::string(text) + "\x1b[0m";
  }
  bool colour_;
};

}  // namespace nbdcheck
