// What of this process's memory may be read or run, so that a pointer out of a
// plugin's struct can be judged before it is followed.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace nbdcheck {

class MemoryMap {
 public:
  static MemoryMap of_this_process();

  [[nodiscard]] bool executable(const void* address) const;
  // The string at `address`; no value when it runs out of readable memory, or
  // has no NUL within a mebibyte.
  [[nodiscard]] std::optional<std::string> string_at(const char* address) const;

 private:
  struct Region {
    std::uint64_t begin;
    std::uint64_t end;
    bool readable;
    bool executable;
  };
  [[nodiscard]] const Region* region_of(const void* address) const;

  std::vector<Region> regions_;  // ascending, as the kernel lists them
};

}  // namespace nbdcheck
