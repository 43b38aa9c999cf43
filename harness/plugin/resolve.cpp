// From the PLUGIN argument to a file: nbdkit(1) "SHORT NAMES" and "Plugin
// scripts".
#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>

#include "nbdcheck/plugin.hpp"
#include "plugin/file_check.hpp"

namespace nbdcheck {
namespace {

using Kind = LoadFailure::Kind;

bool is_short_name(std::string_view name) { return name.find_first_of("./") == name.npos; }

bool owner_may_execute(const std::string& path) {
  struct stat info {};
  return stat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode) && (info.st_mode & S_IXUSR) != 0;
}

// LANG of "#!/usr/sbin/nbdkit LANG", also through env(1); empty for anything
// else.
std::string script_language(const std::string& path) {
  constexpr std::size_t longest_line = 4096;
  std::string line(longest_line, '\0');
  std::ifstream file(path, std::ios::binary);
  file.read(line.data(), static_cast<std::streamsize>(line.size()));
  line.resize(static_cast<std::size_t>(file.gcount()));
  line.resize(std::min(line.size(), line.find('\n')));
  if (!line.starts_with("#!")) return {};

  std::istringstream words(line.substr(2));
  bool seen_nbdkit = false;
  for (std::string word; words >> word;) {
    if (seen_nbdkit && !word.starts_with('-')) return word;
    if (word == "nbdkit" || word.ends_with("/nbdkit")) seen_nbdkit = true;
  }
  return {};
}

tl::expected<Resolved, LoadFailure> resolve_short_name(const std::string& name,
                                                       const std::string& plugin_dir) {
  const std::string base = plugin_dir + "/nbdkit-" + name + "-plugin";
  if (owner_may_execute(base)) {
    const std::string language = script_language(base);
    // A language is a compiled plugin; scripts do not run scripts.
    if (language.empty() || !is_short_name(language)) {
      return tl::unexpected(LoadFailure{
          Kind::not_shared_object, base + ": is executable but no nbdkit script: its first line is "
                                          "not \"#!/usr/sbin/nbdkit LANGUAGE\""});
    }
    std::string library = plugin_dir + "/nbdkit-" + language + "-plugin.so";
    if (auto failure = check_readable_file(library)) {
      failure->message = base + " needs the " + language + " plugin: " + failure->message;
      return tl::unexpected(std::move(*failure));
    }
    return Resolved{std::move(library), base};
  }

  std::string library = base + ".so";
  if (auto failure = check_readable_file(library)) {
    if (failure->kind == Kind::not_found) {
      failure->message = "no plugin named \"" + name + "\": there is neither " + base + " nor " +
                         library +
                         "; a name without '.' and '/' is looked for there, a path must "
                         "have a '/'";
    }
    return tl::unexpected(std::move(*failure));
  }
  return Resolved{std::move(library), {}};
}

// dlopen(3) looks for a name without a slash in the library path, never in the
// working directory.
tl::expected<Resolved, LoadFailure> resolve_library_name(const std::string& name) {
  const char* search = std::getenv("LD_LIBRARY_PATH");
  std::istringstream directories(search == nullptr ? "" : search);
  for (std::string directory; std::getline(directories, directory, ':');) {
    std::string path = (directory.empty() ? "." : directory) + "/" + name;
    if (!check_readable_file(path)) return Resolved{std::move(path), {}};
  }
  std::string message = name + ": not found on the library path";
  if (!check_readable_file("./" + name)) {
    message += ", which is where nbdkit looks for a name without '/'; write ./" + name;
  }
  return tl::unexpected(LoadFailure{Kind::not_found, std::move(message)});
}

}  // namespace

tl::expected<Resolved, LoadFailure> resolve_plugin(const std::string& name,
                                                   const std::string& plugin_dir) {
  if (name.empty()) {
    return tl::unexpected(LoadFailure{Kind::not_found, "the plugin's name is empty"});
  }
  if (is_short_name(name)) return resolve_short_name(name, plugin_dir);
  if (name.find('/') == name.npos) return resolve_library_name(name);
  if (auto failure = check_readable_file(name)) return tl::unexpected(std::move(*failure));
  return Resolved{name, {}};
}

std::string default_plugin_dir() {
  const char* chosen = std::getenv("NBDKIT_PLUGIN_DIR");
  return chosen != nullptr && *chosen != '\0' ? chosen : NBDKIT_PLUGIN_DIR;
}

}  // namespace nbdcheck
