#include "backing/scratch_directory.hpp"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <system_error>

#include "text/printable.hpp"

namespace nbdcheck {
namespace {

std::string failure(const std::string& path, int error) {
  return fmt::format("cannot create a directory in {}: {}", printable(path),
                     std::error_code(error, std::system_category()).message());
}

}  // namespace

ScratchDirectory::ScratchDirectory(std::string path) : path_(std::move(path)), owner_(::getpid()) {}

ScratchDirectory::ScratchDirectory(ScratchDirectory&& other) noexcept
    : path_(std::move(other.path_)),
      owner_(other.owner_),
      removed_(other.removed_.exchange(true)) {}

tl::expected<ScratchDirectory, std::string> ScratchDirectory::make() {
  const char* const chosen = std::getenv("TMPDIR");
  // Plugins change directory, so the path must not depend on it.
  const std::string parent = chosen != nullptr && chosen[0] == '/' ? chosen : "/tmp";
  std::string path = parent + "/nbdcheck-XXXXXX";
  if (::mkdtemp(path.data()) == nullptr) return tl::unexpected(failure(parent, errno));
  return ScratchDirectory(std::move(path));
}

tl::expected<std::string, std::string> ScratchDirectory::subdirectory(
    const std::string& name) const {
  std::string path = path_ + "/" + name;
  if (::mkdir(path.c_str(), 0700) != 0) return tl::unexpected(failure(path_, errno));
  return path;
}

void ScratchDirectory::remove() noexcept {
  if (removed_.exchange(true) || ::getpid() != owner_) return;
  // Under another name first: threads that go on know only the old one, and
  // what they would still put there is not made.
  const std::string gone = path_ + ".gone";
  remove_tree(::rename(path_.c_str(), gone.c_str()) == 0 ? gone : path_);
}

}  // namespace nbdcheck
