// A plugin may leave anything behind: directories without permissions, nested
// deeper than there are descriptors, links to the user's files.  So no path is
// followed, and what is nested very deeply is moved to the top first.
#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <string_view>

#include "backing/scratch_directory.hpp"
#include "values/descriptor.hpp"

namespace nbdcheck {
namespace {

struct CloseDirectory {
  void operator()(DIR* directory) const { ::closedir(directory); }
};
using Directory = std::unique_ptr<DIR, CloseDirectory>;

// Opens `name` in `parent`, made ours first.  Through O_PATH, which needs no
// permission and refuses links.
Directory open_directory(int parent, const char* name) {
  const Descriptor path(::openat(parent, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (path.get() < 0) return nullptr;
  const std::string self = fmt::format("/proc/self/fd/{}", path.get());
  ::chmod(self.c_str(), 0700);  // where it fails, opening does too
  Descriptor readable(::openat(path.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (readable.get() < 0) return nullptr;
  DIR* const stream = ::fdopendir(readable.get());
  if (stream != nullptr) readable.release();
  return Directory(stream);
}

// The next name that is not "." or "..".
const char* next_name(const Directory& directory) {
  while (const dirent* entry = ::readdir(directory.get())) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") return entry->d_name;
  }
  return nullptr;
}

class Removal {
 public:
  explicit Removal(int top) : top_(top) {}

  // Takes what it can out of `directory`; how many entries went or moved.
  std::size_t empty(const Directory& directory, int depth) {
    const int fd = ::dirfd(directory.get());
    std::size_t progress = 0;
    while (const char* name = next_name(directory)) {
      if (remove(fd, name)) {
        ++progress;
      } else if (depth < max_open) {
        const Directory inner = open_directory(fd, name);
        if (inner) progress += empty(inner, depth + 1);
        if (remove(fd, name)) ++progress;
      } else if (move_to_top(fd, name)) {
        ++progress;
      }
    }
    return progress;
  }

 private:
  static constexpr int max_open = 64;

  static bool remove(int fd, const char* name) {
    return ::unlinkat(fd, name, 0) == 0 || ::unlinkat(fd, name, AT_REMOVEDIR) == 0;
  }

  bool move_to_top(int fd, const char* name) {
    (void)open_directory(fd, name);  // moving a directory needs write permission on it
    std::string target;
    do {
      target = fmt::format(".{}", moves_++);
    } while (::faccessat(top_, target.c_str(), F_OK, AT_SYMLINK_NOFOLLOW) == 0);
    return ::renameat(fd, name, top_, target.c_str()) == 0;
  }

  int top_;
  std::uint64_t moves_ = 0;
};

bool remove_all(const std::string& path) {
  for (std::size_t progress = 1; progress != 0;) {
    // Opened again each time: what was moved here is not seen otherwise.
    const Directory top = open_directory(AT_FDCWD, path.c_str());
    if (!top) break;
    progress = Removal(::dirfd(top.get())).empty(top, 0);
  }
  return ::rmdir(path.c_str()) == 0 || errno == ENOENT;
}

}  // namespace

bool remove_tree(const std::string& path) noexcept {
  try {
    return remove_all(path);
  } catch (const std::bad_alloc&) {
    return false;
  }
}

}  // namespace nbdcheck
