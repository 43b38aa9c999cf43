// The file is loaded and plugin_init called, as nbdkit does first of all; the
// struct it returns is looked at before anything in it is trusted.
#include <dlfcn.h>
#include <elf.h>
#include <fmt/format.h>
#include <link.h>

#include <algorithm>
#include <cstddef>
#include <cstring>

#include "checks/check_run.hpp"
#include "checks/memory_map.hpp"
#include "checks/struct_fields.hpp"
#include "nbdcheck/status_page.hpp"

namespace nbdcheck::checks::abi_registration {
namespace {

using Kind = LoadFailure::Kind;

const char* rule_for(Kind kind) {
  switch (kind) {
    case Kind::unresolved_symbols:
    case Kind::dlopen_failed:
      return "abi.loads";
    case Kind::no_plugin_init:
    case Kind::init_returned_null:
      return "abi.plugin-init";
    case Kind::bad_api_version:
      return "abi.api-version";
    case Kind::missing_callback:
      return "abi.required-callbacks";
    case Kind::bad_name:
      return "abi.name";
    default:
      return "";  // the user's mistake
  }
}

const char* expected_by(Kind kind) {
  switch (kind) {
    case Kind::no_plugin_init:
      return "an exported function plugin_init, as NBDKIT_REGISTER_PLUGIN defines";
    case Kind::init_returned_null:
      return "plugin_init returns a struct nbdkit_plugin";
    case Kind::bad_api_version:
      return "_api_version is 1 or 2";
    case Kind::missing_callback:
      return ".open, .get_size and .pread are set";
    case Kind::bad_name:
      return ".name: ASCII letters, digits and dashes, not starting with a dash";
    default:
      return "dlopen(RTLD_NOW) succeeds";
  }
}

void add(CheckRun& run, const char* rule, std::string message, std::string expected,
         std::string actual = "") {
  Violation v;
  v.rule = rule;
  v.message = std::move(message);
  v.expected = std::move(expected);
  v.actual = std::move(actual);
  run.violated(std::move(v));
}

// What nbdkit would copy of the struct, and the size the plugin gave.
struct Declared {
  std::uint64_t size = 0;
  PluginStruct fields{};
};

Declared copy_of(const void* plugin) {
  Declared declared;
  std::memcpy(&declared.size, plugin, sizeof declared.size);
  std::memcpy(&declared.fields, plugin,
              std::min<std::uint64_t>(declared.size, sizeof declared.fields));
  return declared;
}

bool good_size(CheckRun& run, const Declared& declared) {
  const bool version_1 = declared.fields._api_version == 1;
  const std::uint64_t least = sizeof(void*) + (version_1 ? offsetof(PluginStruct, _pread_v1)
                                                         : offsetof(PluginStruct, pread));
  if (declared.size >= least && declared.size % sizeof(void*) == 0) return true;
  add(run, "abi.struct-size",
      fmt::format("plugin_init returned a struct nbdkit_plugin whose _struct_size is {}: {}.",
                  declared.size,
                  declared.size < least
                      ? "too small to hold .pread"
                      : "it ends in the middle of a field, and nbdkit copies no more than that"),
      fmt::format("sizeof (struct nbdkit_plugin), a multiple of {} of at least {}", sizeof(void*),
                  least),
      std::to_string(declared.size));
  return false;
}

bool good_pointers(CheckRun& run, const PluginStruct& fields) {
  const MemoryMap memory = MemoryMap::of_this_process();
  for (const StructField& field : string_fields) {
    const void* value = field.value(fields);
    if (value == nullptr || memory.string_at(static_cast<const char*>(value))) continue;
    add(run, "abi.strings",
        fmt::format(".{} is {}, which is not the address of a string.", field.name, value),
        "NULL, or a string that ends with a NUL and stays as long as the plugin is loaded");
  }
  for (const StructField& field : callback_fields) {
    const void* value = field.value(fields);
    if (value == nullptr || memory.executable(value)) continue;
    add(run, "abi.callbacks", fmt::format(".{} is {}, where there is no code.", field.name, value),
        "NULL, or a function");
  }
  return !run.found_any();
}

// nbdkit calls plugin_init once; that a second call gives the same is what
// tells a struct that is rebuilt from one that is half built.
void compare(CheckRun& run, const Declared& first, const Declared& second) {
  PluginStruct a = first.fields;
  PluginStruct b = second.fields;
  const MemoryMap memory = MemoryMap::of_this_process();
  const char* differs = first.size == second.size ? nullptr : "_struct_size";
  for (const StructField& field : string_fields) {
    const auto* one = static_cast<const char*>(field.value(a));
    const auto* two = static_cast<const char*>(field.value(b));
    const bool same = one == two || (one != nullptr && two != nullptr &&
                                     memory.string_at(one) == memory.string_at(two));
    if (!same && differs == nullptr) differs = field.name;
    field.clear(a);
    field.clear(b);
  }
  for (const StructField& field : callback_fields)
    if (field.value(a) != field.value(b) && differs == nullptr) differs = field.name;
  if (a._api_version != b._api_version || a._thread_model != b._thread_model)
    differs = "_api_version or _thread_model";
  if (differs == nullptr) return;
  add(run, "abi.init-stable",
      fmt::format("plugin_init, called twice, gave two structs that differ in {}.", differs),
      "the same contents each time");
}

// nbdkit -D NAME.FLAG=N stores an int; `library` exports all of them.
void debug_flags(CheckRun& run, void* library, const std::string& path, std::string name) {
  const auto elf = read_elf(path);
  if (!elf || library == nullptr) return;
  name += "_debug_";
  for (const std::string& symbol : elf->defined) {
    if (!symbol.starts_with(name)) continue;
    const void* address = ::dlsym(library, symbol.c_str());
    Dl_info where{};
    void* extra = nullptr;
    if (address == nullptr || ::dladdr1(address, &where, &extra, RTLD_DL_SYMENT) == 0) continue;
    const auto* entry = static_cast<const ElfW(Sym)*>(extra);
    if (entry == nullptr || ELF64_ST_TYPE(entry->st_info) != STT_OBJECT) continue;
    if (entry->st_size == sizeof(int)) continue;
    return add(run, "abi.debug-flags",
               fmt::format("{} is a variable of {} bytes; nbdkit -D writes an int to it.", symbol,
                           entry->st_size),
               "NBDKIT_DLL_PUBLIC int NAME_debug_FLAG = 0;",
               fmt::format("{} bytes", entry->st_size));
  }
}

void run_check(CheckRun& run) {
  const auto resolved = resolve_plugin(run.request().plugin, run.server_options().plugin_dir);
  if (!resolved) return run.unknown(resolved.error().message);
  const std::string& path = resolved->path;

  // Kept open to the end: Plugin::load takes a reference of its own.
  set_phase("loading the file");
  void* library = ::dlopen(path.c_str(), RTLD_NOW | RTLD_GLOBAL);
  Declared first;
  const void* declared = nullptr;
  if (library != nullptr) {
    if (void* symbol = ::dlsym(library, "plugin_init")) {
      set_phase("calling plugin_init");
      declared = reinterpret_cast<Plugin::InitFunction>(symbol)();
    }
  }
  if (declared != nullptr) {
    first = copy_of(declared);
    const int version = first.fields._api_version;
    const bool known_version = version >= 0 && version <= 2;
    if (known_version && (!good_size(run, first) || !good_pointers(run, first.fields))) return;
  }

  set_phase("registering the plugin");
  const auto plugin = Plugin::load(path, run.incidents());
  if (!plugin) {
    const LoadFailure& failure = plugin.error();
    if (failure.is_users_mistake()) return run.unknown(failure.message);
    return add(run, rule_for(failure.kind), failure.message + ".", expected_by(failure.kind));
  }
  debug_flags(run, library, path, plugin->facts().name);
  if (declared != nullptr) compare(run, first, copy_of(plugin->plugin_struct()));
  const int model = plugin->facts().static_thread_model;
  if (model < 0 || model > static_cast<int>(ThreadModel::parallel))
    add(run, "abi.thread-model",
        fmt::format("THREAD_MODEL is {}: nbdkit stops on an assertion when it starts.", model),
        "one of the four NBDKIT_THREAD_MODEL constants, 0 to 3", std::to_string(model));
}

const Registration registration{{
    .id = "abi.registration",
    .summary = "the file loads, plugin_init returns a struct nbdkit accepts",
    .rules = {"abi.loads", "abi.plugin-init", "abi.init-stable", "abi.api-version",
              "abi.struct-size", "abi.thread-model", "abi.required-callbacks", "abi.name",
              "abi.strings", "abi.callbacks", "abi.debug-flags"},
    .not_applicable = {},
    .run = run_check,
    .static_only = true,
}};

}  // namespace
}  // namespace nbdcheck::checks::abi_registration
