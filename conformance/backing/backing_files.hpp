// The user's data are safe: disk images and directories named in the plugin's
// arguments are copied, and the plugin gets the copies.  What cannot be copied
// stays where it is, and the run becomes read-only.  The user's own files are
// never opened for writing here.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <vector>

namespace nbdcheck {

// What an argument names, as far as safety is concerned.
enum class BackingKind {
  none,     // no file: a number, inline data, a name that does not exist
  program,  // a script for the plugin to run, used in place
  image,    // a regular file
  directory,
  device,    // block or character device that holds data
  harmless,  // /dev/null and the like, sockets, pipes
};
struct BackingValue {
  BackingKind kind = BackingKind::none;
  std::string path;  // the file's name as given
};
// What else is known of the arguments than their text.
struct BackingHints {
  std::string_view magic_config_key;  // the plugin's
  // --backing: keys of arguments that name data, whatever they look like.
  std::span<const std::string> keys = {};
};
// `first`: no argument came before.
BackingValue classify_argument(const std::string& argument, const BackingHints& hints, bool first);

class BackingFiles {
 public:
  // Looks through `arguments` and takes a first copy of all that can be copied
  // into `scratch`, from which the others are made: the user's files are read
  // just once.  With `write_in_place` nothing is copied.  The error is one line.
  static tl::expected<BackingFiles, std::string> prepare(std::span<const std::string> arguments,
                                                         const BackingHints& hints,
                                                         const std::string& scratch,
                                                         bool write_in_place);

  // The arguments for one child, with a fresh copy of everything in
  // `directory`, which exists and is empty.  Any thread.
  [[nodiscard]] tl::expected<std::vector<std::string>, std::string> arguments_for(
      const std::string& directory) const;

  // What a script that does without this class has to copy: for each argument,
  // what comes before the name of the file, and the name; none: the argument is
  // used as it is.
  struct Named {
    std::string text;
    std::string file;
  };
  [[nodiscard]] std::vector<Named> named(std::span<const std::string> arguments) const;

  // For a person: what was copied, what is left in place and what follows.
  [[nodiscard]] const std::vector<std::string>& notes() const { return notes_; }
  // The run must be read-only: something is in place that must not change.
  [[nodiscard]] bool force_readonly() const { return force_readonly_; }
  // All children work on the same files (--write-in-place).
  [[nodiscard]] bool shared_by_children() const { return shared_by_children_; }

 private:
  struct Copy {
    std::string pristine;
    std::string name;  // inside the child's directory
    bool is_directory;
  };
  struct Argument {
    std::string text;     // as given; with a copy: what comes before the path
    std::ptrdiff_t copy;  // index in copies_, or -1
  };
  class Preparation;

  std::vector<Argument> arguments_;
  std::vector<Copy> copies_;
  std::vector<std::string> notes_;
  bool force_readonly_ = false;
  bool shared_by_children_ = false;
};

inline constexpr std::uint64_t max_image_bytes = std::uint64_t{4} << 30;  // of disk, per file

}  // namespace nbdcheck
