// The list that a plugin's .list_exports fills.  nbdkit-plugin(3)
// ".list_exports"; limits of nbdkit server/exports.c.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

namespace nbdcheck {

struct Export {
  std::string name;
  std::string description;  // "" where the plugin gave none

  friend bool operator==(const Export&, const Export&) = default;
};

class ExportList {
 public:
  enum class Added { kept, name_too_long, description_too_long, too_many };
  Added add(std::string name, std::string description);

  // nbdkit_use_default_export: the plugin's default is put at the end of the
  // list when .list_exports has returned.
  void use_default() { use_default_ = true; }
  [[nodiscard]] bool wants_default() const { return use_default_; }

  [[nodiscard]] const std::vector<Export>& exports() const { return exports_; }

  static constexpr std::size_t max_exports = 10000;
  static constexpr std::size_t max_string = 4096;  // NBD_MAX_STRING

 private:
  std::vector<Export> exports_;
  bool use_default_ = false;
};

}  // namespace nbdcheck
