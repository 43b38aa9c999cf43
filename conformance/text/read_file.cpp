#include "text/read_file.hpp"

#include <fmt/format.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>

namespace nbdcheck {

tl::expected<std::string, std::string> read_whole_file(const std::string& path,
                                                       std::string_view what, std::size_t largest) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0)
    return tl::unexpected(fmt::format("{}: {}", path, std::strerror(errno)));
  if (S_ISDIR(status.st_mode))
    return tl::unexpected(fmt::format("{}: is a directory, not {}", path, what));
  if (S_ISCHR(status.st_mode) || S_ISBLK(status.st_mode))
    return tl::unexpected(fmt::format("{}: is a device, not {}", path, what));
  // Pipes have no size to look at beforehand.
  std::ifstream file(path, std::ios::binary);
  std::string text;
  std::array<char, 65536> piece{};
  do {
    file.read(piece.data(), piece.size());
    text.append(piece.data(), static_cast<std::size_t>(file.gcount()));
    if (text.size() > largest)
      return tl::unexpected(fmt::format("{}: too large for {}", path, what));
  } while (file);
  if (!file.eof()) return tl::unexpected(fmt::format("{}: {}", path, std::strerror(errno)));
  return text;
}

}  // namespace nbdcheck
