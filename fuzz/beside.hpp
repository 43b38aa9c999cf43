// Where nobody can say what to fuzz, as in OSS-Fuzz, a ramdisk.so beside the program
// is meant.
#pragma once

#include <filesystem>
#include <string>
#include <system_error>

namespace nbdcheck::fuzz {

inline std::string plugin_beside_program() {
  std::error_code problem;
  const auto program = std::filesystem::read_symlink("/proc/self/exe", problem);
  const auto plugin = program.parent_path() / "ramdisk.so";
  return !problem && std::filesystem::exists(plugin, problem) ? plugin.string() : "";
}

}  // namespace nbdcheck::fuzz
