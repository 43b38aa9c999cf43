#include "nbdcheck/plugin.hpp"

#include <dlfcn.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "nbdcheck/instruments.hpp"
#include "nbdcheck/status_page.hpp"
#include "plugin/facts.hpp"
#include "plugin/objects.hpp"
#include "plugin/open_library.hpp"

namespace nbdcheck {
namespace {

using Kind = LoadFailure::Kind;

struct CloseLibrary {
  std::vector<ObjectExtent> objects;  // that came with it

  void operator()(void* handle) const {
    // After .unload, and while stacks can still be told: now is the time.
    look_for_leaks();
    // A thread of the plugin that still runs may crash before dlclose(3) is back.
    for (const ObjectExtent& object : objects) note_unloaded(object.begin, object.end);
    dlclose(handle);
  }
};
using Library = std::unique_ptr<void, CloseLibrary>;

// Tells the status page, so that a crash in plugin_init is known to be one.
const void* call_init(Plugin::InitFunction plugin_init, Observer& observer) {
  CallSlot& slot = my_slot();
  slot.returned.store(0, std::memory_order_relaxed);
  slot.callback.store(static_cast<std::uint8_t>(Callback::plugin_init), std::memory_order_relaxed);
  observer.on_call(Callback::plugin_init);
  const void* result = plugin_init();
  observer.on_return(Callback::plugin_init, result == nullptr ? 0 : 1);
  slot.returned.store(1, std::memory_order_relaxed);
  slot.callback.store(static_cast<std::uint8_t>(Callback::none), std::memory_order_relaxed);
  return result;
}

bool is_letter_or_digit(char c) {  // isalnum(3) of the C locale
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

std::optional<LoadFailure> check_name(const std::string& where, const char* name) {
  const auto refuse = [&](const std::string& why) {
    return LoadFailure{Kind::bad_name, where + ": " + why};
  };
  if (name == nullptr) return refuse("the plugin has no .name");
  const std::string_view text = name;
  if (text.empty()) return refuse("the plugin's .name is empty");
  const bool legal = is_letter_or_digit(text.front()) &&
                     std::all_of(text.begin(), text.end(),
                                 [](char c) { return is_letter_or_digit(c) || c == '-'; });
  if (legal) return std::nullopt;
  return refuse("the plugin's .name \"" + std::string(text.substr(0, 64)) +
                "\" must consist of ASCII letters, digits and dashes and begin with a letter or "
                "digit");
}

// In nbdkit's order, so that of several faults the same one is reported.
std::optional<LoadFailure> check(const std::string& where, const PluginStruct& callbacks) {
  const auto missing = [&](const char* field) {
    return LoadFailure{Kind::missing_callback,
                       where + ": the plugin must have a ." + field + " callback",
                       {field}};
  };
  if (callbacks.open == nullptr) return missing("open");
  if (callbacks.get_size == nullptr) return missing("get_size");
  if (callbacks.pread == nullptr && callbacks._pread_v1 == nullptr) return missing("pread");
  return check_name(where, callbacks.name);
}

}  // namespace

struct Plugin::State {
  Library library;  // none for a plugin linked into the program
  InitFunction init = nullptr;
  const void* declared = nullptr;
  PluginStruct callbacks{};
  PluginFacts facts;
};

namespace {

struct Registered {
  const void* declared;
  PluginStruct callbacks;
  std::uint64_t declared_size;
};

tl::expected<Registered, LoadFailure> register_plugin(const std::string& where,
                                                      Plugin::InitFunction plugin_init,
                                                      Observer& observer,
                                                      std::size_t host_struct_size) {
  const void* declared = call_init(plugin_init, observer);
  if (declared == nullptr) {
    return tl::unexpected(
        LoadFailure{Kind::init_returned_null, where + ": plugin_init returned NULL"});
  }
  // The head is always there (NBDKIT_REGISTER_PLUGIN fills it in); how much
  // follows only its first word tells.
  const auto* bytes = static_cast<const char*>(declared);
  std::uint64_t declared_size = 0;
  std::memcpy(&declared_size, bytes + offsetof(PluginStruct, _struct_size), sizeof declared_size);
  int api_version = 0;
  std::memcpy(&api_version, bytes + offsetof(PluginStruct, _api_version), sizeof api_version);
  constexpr int newest_api = 2;
  if (api_version < 0 || api_version > newest_api) {
    return tl::unexpected(LoadFailure{Kind::bad_api_version,
                                      where + ": the plugin's API version is " +
                                          std::to_string(api_version) + "; nbdkit knows 1 and 2"});
  }
  Registered result{declared, {}, declared_size};
  const std::size_t known = std::min(host_struct_size, sizeof result.callbacks);
  std::memcpy(&result.callbacks, declared, std::min<std::uint64_t>(declared_size, known));
  if (auto failure = check(where, result.callbacks)) return tl::unexpected(std::move(*failure));
  return result;
}

}  // namespace

tl::expected<Plugin, LoadFailure> Plugin::load(const std::string& path, Observer& observer,
                                               std::size_t host_struct_size) {
  const auto elf = read_elf(path);
  if (!elf) return tl::unexpected(elf.error());
  const auto defines = [&](std::string_view symbol) {
    return std::find(elf->defined.begin(), elf->defined.end(), symbol) != elf->defined.end();
  };
  // Before any of its code runs: a filter wants another host than ours.
  if (defines("filter_init") && !defines("plugin_init")) {
    return tl::unexpected(LoadFailure{
        Kind::is_filter, path + ": is an nbdkit filter, not a plugin (use nbdkit --filter)"});
  }

  const auto before = objects_in_memory();
  const auto handle = open_library(path, *elf);
  if (!handle) return tl::unexpected(handle.error());
  auto state = std::make_unique<State>();
  state->library = Library(*handle, CloseLibrary{objects_since(before)});
  // dlsym(3) has no other way to hand out a function.
  state->init = reinterpret_cast<InitFunction>(dlsym(*handle, "plugin_init"));
  if (state->init == nullptr) {
    return tl::unexpected(LoadFailure{
        Kind::no_plugin_init, path + ": has no plugin_init; is NBDKIT_REGISTER_PLUGIN missing, or "
                                     "the symbol not exported with C linkage?"});
  }
  auto registered = register_plugin(path, state->init, observer, host_struct_size);
  if (!registered) return tl::unexpected(std::move(registered.error()));
  state->declared = registered->declared;
  state->callbacks = registered->callbacks;
  state->facts = describe(state->callbacks, registered->declared_size, path);
  return Plugin(std::move(state));
}

tl::expected<Plugin, LoadFailure> Plugin::adopt(InitFunction plugin_init, Observer& observer,
                                                std::size_t host_struct_size) {
  auto registered = register_plugin("linked plugin", plugin_init, observer, host_struct_size);
  if (!registered) return tl::unexpected(std::move(registered.error()));
  auto state = std::make_unique<State>();
  state->init = plugin_init;
  state->declared = registered->declared;
  state->callbacks = registered->callbacks;
  state->facts = describe(state->callbacks, registered->declared_size, {});
  return Plugin(std::move(state));
}

Plugin::Plugin(std::unique_ptr<State> state) : state_(std::move(state)) {}
Plugin::Plugin(Plugin&&) noexcept = default;
Plugin& Plugin::operator=(Plugin&&) noexcept = default;
Plugin::~Plugin() = default;

const PluginStruct& Plugin::callbacks() const { return state_->callbacks; }
const PluginFacts& Plugin::facts() const { return state_->facts; }
Plugin::InitFunction Plugin::init_function() const { return state_->init; }
const void* Plugin::plugin_struct() const { return state_->declared; }

void* Plugin::symbol(const char* name) const {
  if (!state_->library && !state_->facts.path.empty()) return nullptr;  // closed
  // A plugin linked into the program has its symbols there.
  return dlsym(state_->library ? state_->library.get() : RTLD_DEFAULT, name);
}

void Plugin::close() { state_->library.reset(); }

}  // namespace nbdcheck
