// A private directory for everything a run writes besides its reports.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <string>
#include <tl/expected.hpp>

namespace nbdcheck {

class ScratchDirectory {
 public:
  // In $TMPDIR, or /tmp; readable by nobody else.  The error is one line.
  static tl::expected<ScratchDirectory, std::string> make();

  ScratchDirectory(ScratchDirectory&& other) noexcept;
  ScratchDirectory& operator=(ScratchDirectory&&) = delete;
  // Removes it, but not in a copy that fork() made of this process.
  ~ScratchDirectory() { remove(); }

  [[nodiscard]] const std::string& path() const { return path_; }
  // A new directory inside.
  [[nodiscard]] tl::expected<std::string, std::string> subdirectory(const std::string& name) const;

  // Removes it now; later calls do nothing.  Any thread may call it, the one
  // that handles SIGINT and SIGTERM too, but not a signal handler.
  void remove() noexcept;

 private:
  explicit ScratchDirectory(std::string path);
  std::string path_;
  pid_t owner_;
  std::atomic<bool> removed_ = false;
};

// Removes a directory and all below it: read-only directories, any depth, and
// never through a symbolic link.  False: something is left.
bool remove_tree(const std::string& path) noexcept;

}  // namespace nbdcheck
