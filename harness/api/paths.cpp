// nbdkit_absolute_path(3) and nbdkit_realpath(3).
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "api/api.hpp"

namespace api = nbdcheck::api;

NBDCHECK_API char* nbdkit_absolute_path(const char* path) {
  if (path == nullptr || *path == '\0') {
    api::report_error("cannot make a null or empty path absolute");
    return nullptr;
  }
  if (*path == '/') return api::copy_for_caller(path);

  std::error_code error;
  const std::string directory = std::filesystem::current_path(error).native();
  if (error) {
    errno = error.value();
    api::report_error("cannot tell the working directory: " + error.message());
    return nullptr;
  }
  // Not normalised, nor need the file exist: nbdkit joins the two with a slash.
  return api::copy_for_caller(directory + "/" + path);
}

NBDCHECK_API char* nbdkit_realpath(const char* path) {
  if (path == nullptr || *path == '\0') {
    api::report_error("cannot resolve a null or empty path");
    return nullptr;
  }
  char* resolved = ::realpath(path, nullptr);
  if (resolved == nullptr) {
    api::report_error("realpath: " + api::quoted(path) + ": " + std::strerror(errno));
  }
  return resolved;
}
