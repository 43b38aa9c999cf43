#include "checks/memory_map.hpp"

#include <algorithm>
#include <fstream>
#include <sstream>

namespace nbdcheck {

MemoryMap MemoryMap::of_this_process() {
  MemoryMap map;
  std::ifstream file("/proc/self/maps");
  for (std::string line; std::getline(file, line);) {
    Region region{};
    char dash = 0;
    std::string permissions;
    std::istringstream words(line);
    if (!(words >> std::hex >> region.begin >> dash >> region.end >> permissions)) continue;
    region.readable = permissions.starts_with('r');
    region.executable = permissions.find('x') != std::string::npos;
    map.regions_.push_back(region);
  }
  return map;
}

const MemoryMap::Region* MemoryMap::region_of(const void* address) const {
  const auto value = reinterpret_cast<std::uintptr_t>(address);
  const auto after = std::upper_bound(
      regions_.begin(), regions_.end(), value,
      [](std::uint64_t wanted, const Region& region) { return wanted < region.end; });
  return after == regions_.end() || value < after->begin ? nullptr : &*after;
}

bool MemoryMap::executable(const void* address) const {
  const Region* region = region_of(address);
  return region != nullptr && region->executable;
}

std::optional<std::string> MemoryMap::string_at(const char* address) const {
  constexpr std::size_t longest = 1U << 20;
  std::string text;
  while (text.size() < longest) {
    const Region* region = region_of(address + text.size());
    if (region == nullptr || !region->readable) return std::nullopt;
    const auto here = reinterpret_cast<std::uintptr_t>(address) + text.size();
    for (std::uint64_t left = region->end - here; left > 0; --left) {
      const char c = address[text.size()];
      if (c == '\0') return text;
      text.push_back(c);
    }
  }
  return std::nullopt;
}

}  // namespace nbdcheck
