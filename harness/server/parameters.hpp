// The plugin's parameters as strings of the server: they stay valid until after
// .unload (nbdkit-plugin(3) ".config"), and are compared with what they were,
// since they are not the plugin's to change.
#pragma once

#include <algorithm>
#include <memory>
#include <string>

namespace nbdcheck {

class ParameterString {
 public:
  explicit ParameterString(std::string text)
      : original_(std::move(text)), given_(std::make_unique<char[]>(original_.size() + 1)) {
    std::copy(original_.begin(), original_.end(), given_.get());
  }

  [[nodiscard]] const char* c_str() const { return given_.get(); }
  [[nodiscard]] const std::string& original() const { return original_; }
  [[nodiscard]] bool modified() const {
    return given_[original_.size()] != '\0' ||
           !std::equal(original_.begin(), original_.end(), given_.get());
  }
  // What it was again, so that each change is seen once.
  void restore() {
    std::copy(original_.begin(), original_.end(), given_.get());
    given_[original_.size()] = '\0';
  }

 private:
  std::string original_;
  std::unique_ptr<char[]> given_;  // exact size: AddressSanitizer sees an overrun
};

struct GivenParameter {
  ParameterString key;
  ParameterString value;
};

}  // namespace nbdcheck
