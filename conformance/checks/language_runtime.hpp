// The runtime of a language that a plugin brings along: its threads, signal
// handlers and garbage are not the author's doing.
#pragma once

#include <string>
#include <string_view>

namespace nbdcheck {

enum class LanguageRuntime { none, go, ocaml };
std::string_view name(LanguageRuntime runtime);

// What the file is built with; `none` for interpreters, which are libraries.
LanguageRuntime runtime_within(const std::string& plugin);

// Collectors free when they see fit, and until then grow as a leak does.  Asked
// when the plugin has been loaded.
bool collects_garbage(const std::string& plugin);

}  // namespace nbdcheck
