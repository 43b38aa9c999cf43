// Files that are there whole or not at all.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <optional>
#include <system_error>

#include "report/event.hpp"
#include "text/printable.hpp"
#include "values/descriptor.hpp"

namespace nbdcheck {
namespace {

namespace fs = std::filesystem;

std::string failure(const std::string& path, std::string_view what, int error) {
  return fmt::format("{}: {}: {}", printable(path), what,
                     std::error_code(error, std::system_category()).message());
}

// 0 or an errno value.
int write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = ::write(fd, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno;
    text.remove_prefix(static_cast<std::size_t>(n));
  }
  return 0;
}

// "-", /dev/stdout and the like are descriptors we have, not files to replace:
// opening them anew would start at offset 0 of the file behind them.
std::optional<int> named_descriptor(std::string_view path) {
  if (path == "-" || path == "/dev/stdout") return STDOUT_FILENO;
  if (path == "/dev/stderr") return STDERR_FILENO;
  for (const std::string_view directory : {"/dev/fd/", "/proc/self/fd/"}) {
    if (!path.starts_with(directory)) continue;
    path.remove_prefix(directory.size());
    int fd = -1;
    const auto [end, error] = std::from_chars(path.data(), path.data() + path.size(), fd);
    if (error == std::errc() && end == path.data() + path.size() && fd >= 0) return fd;
  }
  return std::nullopt;
}

// Follows symbolic links, also to where nothing is yet.
tl::expected<fs::path, int> link_target(fs::path path) {
  for (int links = 0; links < 40; ++links) {
    std::error_code error;
    if (!fs::is_symlink(fs::symlink_status(path, error))) return path;
    const fs::path target = fs::read_symlink(path, error);
    if (error) return tl::unexpected(error.value());
    path = path.parent_path() / target;  // an absolute target replaces it all
  }
  return tl::unexpected(ELOOP);
}

struct Place {
  fs::path path;  // links followed
  fs::path directory;
  bool exists = false;
  bool direct = false;  // a device or pipe
  mode_t mode = 0;
};

// Where `path` leads, or why nothing can be written there.
tl::expected<Place, std::string> find_place(const std::string& path) {
  if (path.empty()) return tl::unexpected(std::string("the name of the file is empty"));
  const auto target = link_target(path);
  if (!target) return tl::unexpected(failure(path, "cannot follow the link", target.error()));
  Place place{*target, target->parent_path(), false, false, 0};
  if (place.directory.empty()) place.directory = ".";
  struct stat status {};
  if (::stat(place.path.c_str(), &status) == 0) {
    place.exists = true;
    place.mode = status.st_mode & 07777U;
    if (S_ISDIR(status.st_mode)) return tl::unexpected(failure(path, "cannot write", EISDIR));
    place.direct = !S_ISREG(status.st_mode);
    if (::access(place.path.c_str(), W_OK) != 0) {
      return tl::unexpected(failure(path, "cannot write", errno));
    }
  } else if (errno != ENOENT) {
    return tl::unexpected(failure(path, "cannot write", errno));
  }
  if (!place.path.has_filename()) return tl::unexpected(failure(path, "cannot write", EISDIR));
  if (!place.direct && ::access(place.directory.c_str(), W_OK | X_OK) != 0) {
    return tl::unexpected(
        failure(path, "cannot write to directory " + quote(place.directory.string()), errno));
  }
  return place;
}

mode_t default_mode() {
  const mode_t mask = ::umask(0);
  ::umask(mask);
  return 0666U & ~mask;
}

std::string replace(const std::string& path, const Place& place, const std::string& text) {
  std::string temporary =
      (place.directory / ("." + place.path.filename().string() + ".XXXXXX")).string();
  Descriptor file(::mkostemp(temporary.data(), O_CLOEXEC));
  if (file.get() < 0) return failure(path, "cannot create a temporary file beside it", errno);
  int error = write_all(file.get(), text);
  if (error == 0 && ::fchmod(file.get(), place.exists ? place.mode : default_mode()) != 0) {
    error = errno;
  }
  if (error == 0 && ::fsync(file.get()) != 0) error = errno;
  if (file.close() != 0 && error == 0) error = errno;
  if (error == 0 && ::rename(temporary.c_str(), place.path.c_str()) != 0) error = errno;
  if (error == 0) return "";
  ::unlink(temporary.c_str());
  return failure(path, "cannot write", error);
}

}  // namespace

std::string write_whole_file(const std::string& path, const std::string& text) {
  if (const auto fd = named_descriptor(path)) {
    std::fflush(stdout);
    const int error = write_all(*fd, text);
    return error == 0 ? "" : failure(path, "cannot write", error);
  }
  const auto place = find_place(path);
  if (!place) return place.error();
  if (!place->direct) return replace(path, *place, text);
  Descriptor file(::open(place->path.c_str(), O_WRONLY | O_CLOEXEC | O_NOCTTY));
  if (file.get() < 0) return failure(path, "cannot open", errno);
  int error = write_all(file.get(), text);
  if (file.close() != 0 && error == 0) error = errno;
  return error == 0 ? "" : failure(path, "cannot write", error);
}

std::string cannot_write(const std::string& path) {
  if (const auto fd = named_descriptor(path)) {
    const int flags = ::fcntl(*fd, F_GETFL);
    if (flags < 0) return failure(path, "cannot write", errno);
    return (flags & O_ACCMODE) == O_RDONLY ? failure(path, "cannot write", EBADF) : "";
  }
  const auto place = find_place(path);
  return place ? "" : place.error();
}

}  // namespace nbdcheck
