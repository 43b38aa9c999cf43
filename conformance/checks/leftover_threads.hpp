// Threads that still run, or wait, in a plugin whose code has been unmapped.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace nbdcheck {

// Where a plugin's machine code is mapped.
class CodeOfPlugin {
 public:
  static CodeOfPlugin of(const std::string& path);

  // Whether it has been unmapped (dlclose may leave it: NODELETE, as Go has it).
  [[nodiscard]] bool is_gone() const;
  [[nodiscard]] bool contains(std::uint64_t address) const;

 private:
  std::string path_;
  std::vector<std::pair<std::uint64_t, std::uint64_t>> ranges_;
};

// Threads of this process, other than the caller, with addresses of `code` on
// their stacks.  Threads that are running just now are not judged.
struct LeftoverThreads {
  std::vector<int> within;
  // Some run at the moment, or wait for a processor: nobody can look at them.
  bool unsure = false;
};
LeftoverThreads threads_within(const CodeOfPlugin& code);

}  // namespace nbdcheck
