#include "backing/backing_files.hpp"

#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <map>
#include <system_error>

#include "backing/sparse_copy.hpp"
#include "backing/tree_copy.hpp"
#include "text/printable.hpp"

namespace nbdcheck {
namespace {

namespace fs = std::filesystem;

std::string reason(int error) { return std::error_code(error, std::system_category()).message(); }

std::string megabytes(std::uint64_t bytes) {
  return with_commas((bytes + (1U << 20) - 1) >> 20) + " MiB";
}

std::string without_copy(const std::string& path, const std::string& why) {
  return fmt::format(
      "{} {}: it is used in place and the run is read-only; --write-in-place "
      "allows writing to it, which destroys its contents",
      quote(path), why);
}

std::string copy_failure(const std::string& path, const std::string& directory, int error) {
  return fmt::format("cannot copy {} to {}: {}{}", quote(path), printable(directory), reason(error),
                     error == ENOSPC ? "; set TMPDIR to a directory with more space" : "");
}

}  // namespace

class BackingFiles::Preparation {
 public:
  Preparation(const BackingHints& hints, const std::string& scratch, bool write_in_place)
      : hints_(hints),
        scratch_(scratch),
        pristine_(scratch + "/pristine"),
        write_in_place_(write_in_place) {}

  tl::expected<BackingFiles, std::string> run(std::span<const std::string> arguments) {
    for (const std::string& argument : arguments) {
      const BackingValue value =
          classify_argument(argument, hints_, files_.arguments_.empty());
      std::ptrdiff_t copy = -1;
      if (auto made = take(value)) {
        copy = *made;
      } else {
        return tl::unexpected(made.error());
      }
      std::string text = argument;
      if (copy >= 0) text.resize(text.size() - value.path.size());
      files_.arguments_.push_back({std::move(text), copy});
    }
    return std::move(files_);
  }

 private:
  // The index of the copy, or -1: no copy is needed, or can be had.
  tl::expected<std::ptrdiff_t, std::string> take(const BackingValue& value) {
    const bool data = value.kind == BackingKind::image || value.kind == BackingKind::directory ||
                      value.kind == BackingKind::device;
    if (!data) return -1;
    if (write_in_place_) {
      files_.shared_by_children_ = true;
      files_.notes_.push_back(quote(value.path) + " is written to in place");
      return -1;
    }
    struct stat status {};
    if (::stat(value.path.c_str(), &status) != 0) return in_place(value.path, "cannot be examined");
    const auto known = copied_.find({status.st_dev, status.st_ino});
    if (known != copied_.end()) return known->second;
    tl::expected<std::ptrdiff_t, std::string> made = -1;
    switch (value.kind) {
      case BackingKind::image:
        made = image(value.path, status);
        break;
      case BackingKind::directory:
        made = directory(value.path);
        break;
      default:
        made = in_place(value.path, "is a device");
    }
    if (made && *made >= 0) copied_[{status.st_dev, status.st_ino}] = *made;
    return made;
  }

  std::ptrdiff_t in_place(const std::string& path, const std::string& why) {
    files_.force_readonly_ = true;
    files_.notes_.push_back(without_copy(path, why));
    return -1;
  }

  tl::expected<std::ptrdiff_t, std::string> image(const std::string& path,
                                                  const struct stat& status) {
    const std::uint64_t bytes = allocated_bytes(status);
    if (bytes > max_image_bytes) {
      return in_place(path, fmt::format("holds {}, too much to copy", megabytes(bytes)));
    }
    if (::access(path.c_str(), R_OK) != 0) return in_place(path, "cannot be read");
    if (auto enough = space_for(path, bytes); !enough) return tl::unexpected(enough.error());
    const Copy copy = place(path, false);
    const int error = copy_sparse(path, copy.pristine);
    if (error == EFBIG) return in_place(path, "is too large for the temporary directory");
    if (error != 0) return tl::unexpected(copy_failure(path, scratch_, error));
    files_.notes_.push_back(fmt::format("{} was copied; only copies are written to", quote(path)));
    return keep(copy);
  }

  tl::expected<std::ptrdiff_t, std::string> directory(const std::string& path) {
    const auto size = measure_tree(path);
    if (!size) return in_place(path, "cannot be read whole (" + reason(size.error()) + ")");
    if (size->too_large) {
      return in_place(path, fmt::format("is a directory of more than {} or {} entries",
                                        megabytes(max_tree_bytes), with_commas(max_tree_entries)));
    }
    if (auto enough = space_for(path, size->bytes); !enough) return tl::unexpected(enough.error());
    const Copy copy = place(path, true);
    const TreeCopied copied = copy_tree(path, copy.pristine, scratch_);
    if (copied.error == EACCES || copied.error == EPERM) {
      return in_place(path, "cannot be read whole (" + reason(copied.error) + ")");
    }
    if (copied.error != 0) return tl::unexpected(copy_failure(path, scratch_, copied.error));
    std::string note = fmt::format("{} was copied; only copies are written to", quote(path));
    if (copied.left_out != 0) {
      note +=
          fmt::format(" ({} devices, sockets or links out of it were left out)", copied.left_out);
    }
    files_.notes_.push_back(std::move(note));
    return keep(copy);
  }

  // Room for the first copy and one more.  Where blocks can be shared none is
  // needed, but that is known only afterwards.
  tl::expected<void, std::string> space_for(const std::string& path, std::uint64_t bytes) {
    struct statvfs space {};
    if (::statvfs(scratch_.c_str(), &space) != 0) return {};
    const std::uint64_t free = std::uint64_t{space.f_bavail} * space.f_frsize;
    if (2 * bytes <= free) return {};
    return tl::unexpected(fmt::format(
        "no space to copy {}: {} has {} free and {} are needed; set TMPDIR to a directory with "
        "more space, or give --write-in-place to use it itself",
        quote(path), printable(scratch_), megabytes(free), megabytes(2 * bytes)));
  }

  // Every copy has a directory of its own, so that the file keeps its name.
  Copy place(const std::string& path, bool is_directory) {
    const std::string number = std::to_string(next_++);
    fs::path name = fs::path(path).lexically_normal().filename();
    if (name.empty() || name == "." || name == "..") name = "data";
    const std::string inside = number + "/" + name.string();
    std::error_code ignored;  // the copy fails with the same reason
    fs::create_directories(pristine_ + "/" + number, ignored);
    return {pristine_ + "/" + inside, inside, is_directory};
  }

  std::ptrdiff_t keep(const Copy& copy) {
    files_.copies_.push_back(copy);
    return static_cast<std::ptrdiff_t>(files_.copies_.size()) - 1;
  }

  BackingHints hints_;
  std::string scratch_;
  std::string pristine_;
  bool write_in_place_;
  std::size_t next_ = 0;
  std::map<std::pair<dev_t, ino_t>, std::ptrdiff_t> copied_;
  BackingFiles files_;
};

tl::expected<BackingFiles, std::string> BackingFiles::prepare(
    std::span<const std::string> arguments, const BackingHints& hints, const std::string& scratch,
    bool write_in_place) {
  return Preparation(hints, scratch, write_in_place).run(arguments);
}

std::vector<BackingFiles::Named> BackingFiles::named(std::span<const std::string> arguments) const {
  std::vector<Named> out;
  for (std::size_t i = 0; i < arguments.size() && i < arguments_.size(); ++i) {
    const Argument& known = arguments_[i];
    if (known.copy < 0)
      out.push_back({arguments[i], ""});
    else
      out.push_back({known.text, arguments[i].substr(known.text.size())});
  }
  return out;
}

tl::expected<std::vector<std::string>, std::string> BackingFiles::arguments_for(
    const std::string& directory) const {
  for (const Copy& copy : copies_) {
    const fs::path target = fs::path(directory) / copy.name;
    std::error_code ignored;  // the copy fails with the same reason
    fs::create_directories(target.parent_path(), ignored);
    const int error = copy.is_directory ? copy_tree(copy.pristine, target, "").error
                                        : copy_sparse(copy.pristine, target);
    if (error != 0) return tl::unexpected(copy_failure(copy.pristine, directory, error));
  }
  std::vector<std::string> arguments;
  for (const Argument& argument : arguments_) {
    arguments.push_back(argument.text);
    if (argument.copy < 0) continue;
    const Copy& copy = copies_.at(static_cast<std::size_t>(argument.copy));
    arguments.back() += (fs::path(directory) / copy.name).string();
  }
  return arguments;
}

}  // namespace nbdcheck
