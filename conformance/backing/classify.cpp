// Which arguments name files, and of what kind.  When in doubt a file is an
// image: a copy too many costs a little time, one too few the user's data.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstring>
#include <filesystem>

#include "backing/backing_files.hpp"
#include "nbdcheck/server.hpp"
#include "values/descriptor.hpp"

namespace nbdcheck {
namespace {

constexpr std::array<std::string_view, 16> source_suffixes{
    ".py", ".pl",  ".pm", ".rb", ".lua", ".tcl", ".sh", ".c",
    ".cc", ".cpp", ".ml", ".js", ".go",  ".rs",  ".h",  ".so"};

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return out;
}

// Keys that speak of data: file=, disk=, image=, dir=, path=, raw=.
bool names_data(std::string_view key) {
  const std::string name = lower(key);
  return std::ranges::any_of(
      std::array<std::string_view, 6>{"file", "disk", "image", "dir", "path", "raw"},
      [&](std::string_view word) { return name.find(word) != std::string::npos; });
}

// 42, 1.5G, 512k, true: meant as such even where a file of that name exists.
bool looks_like_value(std::string_view text) {
  static constexpr std::array<std::string_view, 6> words{"true", "false", "yes", "no", "on", "off"};
  const std::string name = lower(text);
  if (std::ranges::find(words, name) != words.end()) return true;
  const std::size_t digits = std::min(name.find_first_not_of("0123456789.-+"), name.size());
  if (digits == 0) return false;
  return name.find_first_not_of("bkmgtpesi", digits) == std::string::npos &&
         name.size() - digits <= 3;
}

// What a shell, an interpreter or a compiler can take.
bool looks_like_program(const std::string& path, mode_t mode) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (file.get() < 0) return false;
  std::array<char, 4096> head{};
  const ssize_t got = ::pread(file.get(), head.data(), head.size(), 0);
  if (got <= 0) return false;
  const std::string_view text(head.data(), static_cast<std::size_t>(got));
  if (text.starts_with("#!") || text.starts_with("\x7f"
                                                 "ELF"))
    return true;
  // Images on some file systems are all marked executable, and an image may be
  // called anything; but programs are text.
  if (text.find('\0') != std::string_view::npos) return false;
  const std::string suffix = lower(std::filesystem::path(path).extension().string());
  return (mode & 0111U) != 0 || std::ranges::find(source_suffixes, suffix) != source_suffixes.end();
}

}  // namespace

BackingValue classify_argument(const std::string& argument, const BackingHints& hints, bool first) {
  const std::string_view magic_config_key = hints.magic_config_key;
  const Parameter parameter = parse_parameter(argument);
  std::string key = parameter.key;
  if (parameter.bare && !magic_config_key.empty()) key = magic_config_key;
  if (parameter.bare && magic_config_key.empty() && first) key = "script";
  const std::string& path = parameter.value;

  struct stat status {};
  if (path.empty() || ::stat(path.c_str(), &status) != 0) return {};
  const bool could_be_path = path.find('/') != std::string::npos || names_data(key);
  const bool marked = std::ranges::find(hints.keys, key) != hints.keys.end();
  if (!marked && !could_be_path && looks_like_value(path)) return {};

  if (S_ISDIR(status.st_mode)) return {BackingKind::directory, path};
  if (S_ISBLK(status.st_mode)) return {BackingKind::device, path};
  if (S_ISCHR(status.st_mode)) {
    // Linux: 1 is the memory devices; null, zero, full, random and urandom keep nothing.
    const unsigned number = minor(status.st_rdev);
    const bool keeps_nothing =
        major(status.st_rdev) == 1 &&
        (number == 3 || number == 5 || number == 7 || number == 8 || number == 9);
    return {keeps_nothing ? BackingKind::harmless : BackingKind::device, path};
  }
  if (!S_ISREG(status.st_mode)) return {BackingKind::harmless, path};
  if (marked) return {BackingKind::image, path};
  // Without a magic key nbdkit calls a first bare word the script; but then it
  // is one only if it looks like one.
  const bool told = !parameter.bare || !magic_config_key.empty();
  if (key == "script" && (told || looks_like_program(path, status.st_mode)))
    return {BackingKind::program, path};
  // `file=run.sh` asks a plugin to serve the file, whatever is in it.
  if (!names_data(key) && looks_like_program(path, status.st_mode)) {
    return {BackingKind::program, path};
  }
  return {BackingKind::image, path};
}

}  // namespace nbdcheck
