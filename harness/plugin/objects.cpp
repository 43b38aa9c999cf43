#include "plugin/objects.hpp"

#include <link.h>

#include <algorithm>
#include <cstddef>

namespace nbdcheck {
namespace {

int note_extent(dl_phdr_info* info, std::size_t, void* argument) {
  ObjectExtent extent{~std::uint64_t{0}, 0};
  for (const auto& header : std::span(info->dlpi_phdr, info->dlpi_phnum)) {
    if (header.p_type != PT_LOAD) continue;
    const std::uint64_t begin = info->dlpi_addr + header.p_vaddr;
    extent.begin = std::min(extent.begin, begin);
    extent.end = std::max(extent.end, begin + header.p_memsz);
  }
  if (extent.end != 0) static_cast<std::vector<ObjectExtent>*>(argument)->push_back(extent);
  return 0;
}

}  // namespace

std::vector<ObjectExtent> objects_in_memory() {
  std::vector<ObjectExtent> extents;
  ::dl_iterate_phdr(note_extent, &extents);
  return extents;
}

std::vector<ObjectExtent> objects_since(std::span<const ObjectExtent> before) {
  std::vector<ObjectExtent> now = objects_in_memory();
  std::erase_if(now, [&](const ObjectExtent& extent) {
    return std::ranges::find(before, extent) != before.end();
  });
  return now;
}

}  // namespace nbdcheck
