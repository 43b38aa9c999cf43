#include "nbdcheck/exports.hpp"

#include <utility>

namespace nbdcheck {

ExportList::Added ExportList::add(std::string name, std::string description) {
  if (exports_.size() >= max_exports) return Added::too_many;
  if (name.size() > max_string) return Added::name_too_long;
  if (description.size() > max_string) return Added::description_too_long;
  exports_.push_back({std::move(name), std::move(description)});
  return Added::kept;
}

}  // namespace nbdcheck
