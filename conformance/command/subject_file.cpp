#include "command/subject_file.hpp"

#include <algorithm>
#include <filesystem>
#include <string_view>
#include <system_error>

#include "nbdcheck/plugin.hpp"

namespace nbdcheck {
namespace {

bool defines(const ElfFacts& facts, std::string_view symbol) {
  return std::find(facts.defined.begin(), facts.defined.end(), symbol) != facts.defined.end();
}

}  // namespace

tl::expected<SubjectFile, std::string> find_subject_file(const std::string& plugin) {
  SubjectFile found;
  found.name = plugin;
  // nbdkit hands "plugin.so" to dlopen, which looks everywhere but in the
  // current directory.  Whoever types it means the file that is there.
  std::error_code ignored;
  if (plugin.find('/') == std::string::npos && plugin.find('.') != std::string::npos &&
      std::filesystem::exists(plugin, ignored))
    found.name = "./" + plugin;
  const auto resolved = resolve_plugin(found.name, default_plugin_dir());
  if (!resolved) return tl::unexpected(resolved.error().message);
  found.path = resolved->path;
  const auto facts = read_elf(resolved->path);
  if (!facts && facts.error().is_users_mistake()) return tl::unexpected(facts.error().message);
  if (facts && defines(*facts, "filter_init") && !defines(*facts, "plugin_init"))
    return tl::unexpected(resolved->path + ": is a filter; nbdcheck checks plugins");
  return found;
}

}  // namespace nbdcheck
