#include "rules/catalogue.hpp"

#include <algorithm>

namespace nbdcheck {

const Rule* find_rule(std::string_view id) {
  const auto rules = all_rules();
  const auto it =
      std::lower_bound(rules.begin(), rules.end(), id,
                       [](const Rule& rule, std::string_view key) { return rule.id < key; });
  return it == rules.end() || it->id != id ? nullptr : &*it;
}

}  // namespace nbdcheck
