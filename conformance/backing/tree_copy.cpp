#include "backing/tree_copy.hpp"

#include <sys/stat.h>

#include <filesystem>
#include <system_error>
#include <vector>

#include "backing/sparse_copy.hpp"

namespace nbdcheck {
namespace {

namespace fs = std::filesystem;

// Whether a link in directory `inside`, relative to the top of the tree, stays
// in the tree.  Others would lead from the copy to the user's own files.
bool stays_inside(const fs::path& inside, const fs::path& target) {
  if (target.is_absolute()) return false;
  int depth = 0;
  for (const fs::path& part : inside / target) {
    if (part == "..") {
      if (--depth < 0) return false;
    } else if (part != "." && !part.empty()) {
      ++depth;
    }
  }
  return true;
}

class TreeCopy {
 public:
  TreeCopy(fs::path from, fs::path to, fs::path except)
      : from_(std::move(from)), to_(std::move(to)), except_(std::move(except)) {}

  TreeCopied copy() {
    directory("");
    // From the inside out: a directory without write permission can be filled.
    for (auto it = modes_.rbegin(); it != modes_.rend() && result_.error == 0; ++it) {
      std::error_code error;
      fs::permissions(to_ / it->first, it->second, error);
      result_.error = error.value();
    }
    return result_;
  }

 private:
  void directory(const fs::path& inside) {
    std::error_code error;
    const fs::perms mode = fs::status(from_ / inside, error).permissions() & fs::perms::all;
    if (!error) fs::create_directory(to_ / inside, error);
    fs::directory_iterator entry;
    if (!error) entry = fs::directory_iterator(from_ / inside, error);
    if (error) {
      result_.error = error.value();
      return;
    }
    modes_.emplace_back(inside, mode);
    while (result_.error == 0 && entry != fs::directory_iterator()) {
      one(*entry, inside);
      entry.increment(error);
      if (error) result_.error = error.value();
    }
  }

  void one(const fs::directory_entry& entry, const fs::path& inside) {
    std::error_code error;
    const fs::path name = inside / entry.path().filename();
    switch (entry.symlink_status(error).type()) {
      case fs::file_type::directory:
        if (!except_.empty() && fs::equivalent(entry.path(), except_, error)) return;
        directory(name);
        return;
      case fs::file_type::regular:
        result_.error = copy_sparse(entry.path(), to_ / name);
        return;
      case fs::file_type::symlink: {
        const fs::path target = fs::read_symlink(entry.path(), error);
        if (error || !stays_inside(inside, target)) {
          ++result_.left_out;
          return;
        }
        fs::create_symlink(target, to_ / name, error);
        result_.error = error.value();
        return;
      }
      default:
        ++result_.left_out;
    }
  }

  fs::path from_, to_, except_;
  TreeCopied result_;
  std::vector<std::pair<fs::path, fs::perms>> modes_;
};

}  // namespace

tl::expected<TreeSize, int> measure_tree(const std::string& path) {
  TreeSize size;
  std::error_code error;
  fs::recursive_directory_iterator entry(path, error);
  while (!error && entry != fs::recursive_directory_iterator()) {
    struct stat status {};
    if (::lstat(entry->path().c_str(), &status) == 0 && S_ISREG(status.st_mode)) {
      size.bytes += allocated_bytes(status);
    }
    if (++size.entries > max_tree_entries || size.bytes > max_tree_bytes) {
      size.too_large = true;
      return size;
    }
    entry.increment(error);
  }
  if (error) return tl::unexpected(error.value());
  return size;
}

TreeCopied copy_tree(const std::string& from, const std::string& to, const std::string& except) {
  return TreeCopy(from, to, except).copy();
}

}  // namespace nbdcheck
