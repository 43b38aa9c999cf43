// Where the objects of this process lie: the program, libraries, plugins.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace nbdcheck {

struct ObjectExtent {
  std::uint64_t begin;
  std::uint64_t end;

  bool operator==(const ObjectExtent&) const = default;
};

std::vector<ObjectExtent> objects_in_memory();

// What is there now and was not before.
std::vector<ObjectExtent> objects_since(std::span<const ObjectExtent> before);

}  // namespace nbdcheck
