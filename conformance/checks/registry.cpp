#include <algorithm>
#include <vector>

#include "checks/check.hpp"

namespace nbdcheck {
namespace {

std::vector<Check>& registered() {
  static std::vector<Check> checks;
  return checks;
}

}  // namespace

Registration::Registration(Check check) {
  auto& checks = registered();
  const auto place =
      std::lower_bound(checks.begin(), checks.end(), check.id,
                       [](const Check& c, std::string_view id) { return c.id < id; });
  checks.insert(place, std::move(check));
}

std::span<const Check> all_checks() { return registered(); }

const Check* find_check(std::string_view id) {
  for (const Check& check : registered())
    if (check.id == id) return &check;
  return nullptr;
}

}  // namespace nbdcheck
