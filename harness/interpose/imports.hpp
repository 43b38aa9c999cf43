// Puts functions of ours in the place of those that a plugin imports, by way of
// its own table of addresses (the GOT).  Nothing else in the process is
// changed: the C library and we ourselves call what we always called, so that
// it costs nothing while it is not in use, and a sanitizer keeps its own.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "nbdcheck/code.hpp"

namespace nbdcheck::interpose {

struct Replacement {
  std::string_view name;
  void* function;
};

class Imports {
 public:
  // Where a page of the plugin cannot be written to, its imports stay.
  Imports(const Code& code, std::span<const Replacement> replacements);
  ~Imports();  // puts back what was there
  Imports(const Imports&) = delete;
  Imports& operator=(const Imports&) = delete;

  [[nodiscard]] std::size_t count() const { return changed_.size(); }

 private:
  struct Changed {
    void** slot;
    void* before;
  };
  std::vector<Changed> changed_;
};

}  // namespace nbdcheck::interpose
