#include "interpose/files.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <climits>

namespace nbdcheck::interpose {

int Files::of_descriptor(int fd) {
  struct stat status {};
  if (::fstat(fd, &status) != 0) return -1;
  if (!S_ISREG(status.st_mode) && !S_ISBLK(status.st_mode)) return -1;
  const auto key = S_ISBLK(status.st_mode) ? std::pair{status.st_rdev, ino_t{0}}
                                           : std::pair{status.st_dev, status.st_ino};
  const auto [known, is_new] = known_.try_emplace(key, static_cast<int>(files_.size()));
  if (is_new) {
    std::array<char, PATH_MAX> path{};
    const std::string link = "/proc/self/fd/" + std::to_string(fd);
    const ssize_t length = ::readlink(link.c_str(), path.data(), path.size());
    WatchedFile file;
    if (length > 0) file.path.assign(path.data(), static_cast<std::size_t>(length));
    file.backing = below_roots(file.path);
    files_.push_back(std::move(file));
  }
  return known->second;
}

bool Files::below_roots(const std::string& path) const {
  return std::ranges::any_of(roots_, [&](const std::string& root) {
    return path == root || (path.starts_with(root) && path[root.size()] == '/');
  });
}

void Files::add_mapping(std::uint64_t address, std::uint64_t size, int file, std::uint64_t offset) {
  mappings_.push_back({address, size, file, offset});
}

std::optional<Files::Range> Files::of_memory(std::uint64_t address, std::uint64_t size) const {
  const auto map = std::find_if(mappings_.rbegin(), mappings_.rend(), [&](const Mapping& m) {
    return address >= m.address && address - m.address < m.size;
  });
  if (map == mappings_.rend()) return std::nullopt;
  const std::uint64_t into = address - map->address;
  return Range{map->file, map->offset + into,
               map->offset + std::min(into + std::max<std::uint64_t>(size, 1), map->size)};
}

}  // namespace nbdcheck::interpose
