// What the file's headers say, before any of its code runs.
#include <dlfcn.h>
#include <fmt/format.h>
#include <link.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <memory>
#include <string>
#include <string_view>

#include "checks/check_run.hpp"

namespace nbdcheck::checks::abi_symbols {
namespace {

struct CloseLibrary {
  void operator()(void* library) const { ::dlclose(library); }
};
using Library = std::unique_ptr<void, CloseLibrary>;

// The C library of this process, by itself: RTLD_DEFAULT would find the same
// names in sanitizer runtimes and in this program.
bool in_c_library(const char* symbol) {
  for (const char* name : {"libc.so.6", "libm.so.6"})
    if (const Library library{::dlopen(name, RTLD_LAZY | RTLD_NOLOAD)})
      if (::dlsym(library.get(), symbol) != nullptr) return true;
  return false;
}

bool is_nbdkit_function(const std::string& symbol) {
  return symbol.starts_with("nbdkit_") && ::dlsym(RTLD_DEFAULT, symbol.c_str()) != nullptr;
}

std::string listed(const std::vector<std::string>& names) {
  constexpr std::size_t most = 8;
  std::string text;
  for (std::size_t i = 0; i < std::min(names.size(), most); ++i)
    text += (i == 0 ? "" : ", ") + names[i];
  if (names.size() > most) text += fmt::format(" and {} more", names.size() - most);
  return text;
}

// Names that begin with '_' belong to linkers and language runtimes.
void exports(CheckRun& run, const ElfFacts& elf) {
  std::vector<std::string> taken;
  for (const std::string& symbol : elf.defined)
    if (!symbol.starts_with('_') && (is_nbdkit_function(symbol) || in_c_library(symbol.c_str())))
      taken.push_back(symbol);
  if (taken.empty()) return;
  Violation v;
  v.rule = "abi.exports";
  v.message = fmt::format(
      "The plugin exports {}, which the C library or nbdkit has too. Calls to {} from within the "
      "plugin go to theirs, not to the plugin's own.",
      listed(taken), taken.size() == 1 ? "it" : "them");
  v.expected = "plugin_init and NAME_debug_FLAG variables are exported, nothing else";
  v.actual = fmt::format("{} exported symbols", elf.defined.size());
  run.violated(std::move(v));
}

void executable_stack(CheckRun& run, const ElfFacts& elf) {
  if (!elf.executable_stack) return;
  Violation v;
  v.rule = "abi.executable-stack";
  v.message =
      "The file asks for an executable stack: loading it makes the stacks of the whole server "
      "executable, or fails where the system forbids that.";
  v.expected = "PT_GNU_STACK without the X flag";
  v.actual = "PT_GNU_STACK with the X flag, or none";
  run.violated(std::move(v));
}

void text_relocations(CheckRun& run, const ElfFacts& elf) {
  if (!elf.text_relocations) return;
  Violation v;
  v.rule = "abi.text-relocations";
  v.message =
      "The file has relocations in its code: the loader makes the code writable to apply them, or "
      "refuses where the system forbids that.";
  v.expected = "position-independent code, no DT_TEXTREL";
  v.actual = "DT_TEXTREL";
  run.violated(std::move(v));
}

// Directories where somebody else can put a library.
bool is_unsafe(const std::string& directory) {
  if (directory.starts_with("$ORIGIN") || directory.starts_with("${ORIGIN}")) return false;
  if (!directory.starts_with('/')) return true;  // relative to wherever nbdkit is started
  struct stat status {};
  return ::stat(directory.c_str(), &status) == 0 && (status.st_mode & S_IWOTH) != 0;
}

void search_path(CheckRun& run, const ElfFacts& elf) {
  const auto unsafe = std::find_if(elf.runpath.begin(), elf.runpath.end(), is_unsafe);
  if (unsafe == elf.runpath.end()) return;
  Violation v;
  v.rule = "abi.search-path";
  v.message = fmt::format(
      "The file has the loader search for libraries in \"{}\", where anybody may have put one.",
      *unsafe);
  v.expected = "no RPATH or RUNPATH, or directories that belong to the system or to $ORIGIN";
  v.actual = fmt::format("RPATH or RUNPATH: {}", listed(elf.runpath));
  run.violated(std::move(v));
}

// nbdkit exports them for filters; nbdkit-plugin.h does not declare them.  (The
// two _free functions come with nbdkit's own clean-up macros, unused.)
constexpr std::array<std::string_view, 12> filter_functions = {
    "nbdkit_context_get_backend", "nbdkit_context_set_next",   "nbdkit_exports_count",
    "nbdkit_exports_new",         "nbdkit_extents_aligned",    "nbdkit_extents_count",
    "nbdkit_extents_full",        "nbdkit_extents_new",        "nbdkit_get_export",
    "nbdkit_get_extent",          "nbdkit_next_context_close", "nbdkit_next_context_open"};

void filter_calls(CheckRun& run, const ElfFacts& elf) {
  std::vector<std::string> used;
  for (const std::string& symbol : elf.undefined)
    if (std::find(filter_functions.begin(), filter_functions.end(), symbol) !=
        filter_functions.end())
      used.push_back(symbol);
  if (used.empty()) return;
  Violation v;
  v.rule = "abi.no-filter-functions";
  v.message = fmt::format("The plugin uses {}, which nbdkit has for filters only.", listed(used));
  v.expected = "functions declared in <nbdkit-plugin.h>";
  run.violated(std::move(v));
}

const Registration registration{{
    .id = "abi.symbols",
    .summary = "what the file exports and needs",
    .rules = {"abi.exports", "abi.executable-stack", "abi.no-filter-functions",
              "abi.text-relocations", "abi.search-path"},
    .not_applicable = {},
    .run =
        [](CheckRun& run) {
          const auto resolved =
              resolve_plugin(run.request().plugin, run.server_options().plugin_dir);
          if (!resolved) return run.unknown(resolved.error().message);
          const auto elf = read_elf(resolved->path);
          if (!elf) return run.unknown(elf.error().message);
          exports(run, *elf);
          executable_stack(run, *elf);
          text_relocations(run, *elf);
          search_path(run, *elf);
          filter_calls(run, *elf);
        },
    .static_only = true,
}};

}  // namespace
}  // namespace nbdcheck::checks::abi_symbols
