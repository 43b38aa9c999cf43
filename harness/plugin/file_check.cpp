#include "plugin/file_check.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace nbdcheck {

std::optional<LoadFailure> check_readable_file(const std::string& path) {
  using Kind = LoadFailure::Kind;
  struct stat info {};
  if (stat(path.c_str(), &info) != 0) {
    const Kind kind = errno == ENOENT || errno == ENOTDIR ? Kind::not_found : Kind::not_readable;
    return LoadFailure{kind, path + ": " + std::strerror(errno)};
  }
  if (S_ISDIR(info.st_mode)) {
    return LoadFailure{Kind::not_readable, path + ": is a directory, not a plugin"};
  }
  // Opening a pipe or a device could block, or worse.
  if (!S_ISREG(info.st_mode)) {
    return LoadFailure{Kind::not_readable, path + ": is not a regular file"};
  }
  if (access(path.c_str(), R_OK) != 0) {
    return LoadFailure{Kind::not_readable, path + ": " + std::strerror(errno)};
  }
  return std::nullopt;
}

}  // namespace nbdcheck
