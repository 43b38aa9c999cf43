// Copies of small directory trees.
#pragma once

#include <cstdint>
#include <string>
#include <tl/expected.hpp>

namespace nbdcheck {

struct TreeSize {
  std::uint64_t entries = 0;
  std::uint64_t bytes = 0;  // of disk, by regular files
  bool too_large = false;   // counting stopped there
};
inline constexpr std::uint64_t max_tree_entries = 10'000;
inline constexpr std::uint64_t max_tree_bytes = 256U << 20;

// Follows no symbolic link.
tl::expected<TreeSize, int> measure_tree(const std::string& path);

struct TreeCopied {
  int error = 0;               // errno value, 0: done
  std::uint64_t left_out = 0;  // links that lead out of the tree, devices, sockets
};
// Makes `to`, which must not exist, a copy of the directory `from`.  `except`
// is left out: the scratch directory may lie inside.
TreeCopied copy_tree(const std::string& from, const std::string& to, const std::string& except);

}  // namespace nbdcheck
