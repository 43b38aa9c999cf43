// A plugin file: finding it, the facts its ELF headers tell, loading it and
// registering it exactly as nbdkit's server/main.c and server/plugins.c do.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <tl/expected.hpp>
#include <vector>

#include "nbdcheck/abi.hpp"
#include "nbdcheck/observer.hpp"
#include "nbdcheck/types.hpp"

namespace nbdcheck {

// Why a plugin could not be had.  The first group is the user's mistake (there
// is no plugin there at all); the second is the plugin's fault.
struct LoadFailure {
  enum class Kind {
    // not a plugin
    not_found,       // no such file, or no such short name in the plugin directory
    not_readable,    // permission, or a directory
    not_shared_object,  // text, script, executable, object file, archive
    wrong_machine,   // 32-bit, other processor
    bad_debug_flag,  // ServerOptions::debug_flags: not NAME.FLAG=N
    is_filter,       // has filter_init, not plugin_init
    // a faulty plugin
    unresolved_symbols,  // `symbols` names them
    dlopen_failed,       // anything else dlopen said
    no_plugin_init,
    init_returned_null,
    bad_api_version,
    missing_callback,  // `symbols` names it
    bad_name,
  };
  Kind kind;
  std::string message;  // one line
  std::vector<std::string> symbols = {};

  [[nodiscard]] bool is_users_mistake() const { return kind <= Kind::is_filter; }
};

// How `nbdkit NAME` finds what to run (nbdkit(1) "SHORT NAMES"): a name with
// neither '.' nor '/' is a short name.  `script` is set when the short name is
// a script plugin (#!/usr/sbin/nbdkit LANG): then `path` is LANG's plugin and
// the script itself is to be put before the arguments.
struct Resolved {
  std::string path;
  std::string script;
};
tl::expected<Resolved, LoadFailure> resolve_plugin(const std::string& name,
                                                   const std::string& plugin_dir);

// Where Debian's nbdkit keeps plugins; asked of `nbdkit --dump-config` at build
// time, NBDKIT_PLUGIN_DIR in the environment overrides it.
std::string default_plugin_dir();

// Facts read from the file without loading it (libelf).
struct ElfFacts {
  int bits = 0;                            // 32 or 64
  int machine = 0;                         // EM_*
  bool shared_object = false;              // ET_DYN and not a PIE executable
  std::vector<std::string> needed;         // DT_NEEDED
  std::vector<std::string> runpath;        // DT_RPATH and DT_RUNPATH entries
  std::vector<std::string> defined;        // dynamic symbols it exports
  std::vector<std::string> undefined;      // strong undefined dynamic symbols
  bool executable_stack = false;
  bool text_relocations = false;
};
tl::expected<ElfFacts, LoadFailure> read_elf(const std::string& path);

// What `nbdkit --dump-plugin` prints of any plugin, and what reports carry.
struct PluginFacts {
  std::string path;  // as dlopened; empty for a plugin linked into the program
  std::string name;
  std::string longname;
  std::string version;
  std::string description;
  std::string config_help;
  int api_version = 0;
  std::uint64_t struct_size = 0;  // as the plugin declared it
  int static_thread_model = 0;    // as declared, not yet narrowed by .thread_model
  bool errno_is_preserved = false;
  std::string magic_config_key;  // empty: none
  std::vector<std::string> has;  // callbacks present, in struct order: "pread", ...
};

// A loaded and registered plugin.  Owns the dlopen handle.
class Plugin {
 public:
  using InitFunction = void* (*)();

  // dlopen(RTLD_NOW | RTLD_GLOBAL), plugin_init, copy of min(_struct_size,
  // host_struct_size) bytes, validation in nbdkit's order.  Does not call
  // .load.  `host_struct_size` smaller than the struct plays an older nbdkit.
  static tl::expected<Plugin, LoadFailure> load(const std::string& path, Observer& observer,
                                                std::size_t host_struct_size = sizeof(PluginStruct));

  // The same for a plugin linked into this program.
  static tl::expected<Plugin, LoadFailure> adopt(InitFunction plugin_init, Observer& observer,
                                                 std::size_t host_struct_size = sizeof(PluginStruct));

  Plugin(Plugin&&) noexcept;
  Plugin& operator=(Plugin&&) noexcept;
  ~Plugin();  // dlclose

  // Our own copy: what the plugin later writes to its struct has no effect.
  [[nodiscard]] const PluginStruct& callbacks() const;
  [[nodiscard]] const PluginFacts& facts() const;
  [[nodiscard]] InitFunction init_function() const;
  // What plugin_init returned; the plugin's own memory, for checks only.
  [[nodiscard]] const void* plugin_struct() const;

  // dlsym in the plugin; nullptr when absent.
  [[nodiscard]] void* symbol(const char* name) const;

  void close();  // dlclose now; idempotent

 private:
  struct State;
  explicit Plugin(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace nbdcheck
