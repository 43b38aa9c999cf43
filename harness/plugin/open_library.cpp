#include "plugin/open_library.hpp"

#include <cxxabi.h>
#include <dlfcn.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "plugin/api_versions.hpp"

namespace nbdcheck {
namespace {

// dlopen's message ends "undefined symbol: NAME" or "..., version VERSION".
std::string symbol_in(std::string_view message) {
  constexpr std::string_view marker = "undefined symbol: ";
  const auto at = message.find(marker);
  if (at == message.npos) return {};
  message.remove_prefix(at + marker.size());
  return std::string(message.substr(0, message.find_first_of(", (")));
}

std::string readable(const std::string& symbol) {
  int status = 0;
  const std::unique_ptr<char, void (*)(void*)> demangled(
      abi::__cxa_demangle(symbol.c_str(), nullptr, nullptr, &status), std::free);
  std::string text = status == 0 ? demangled.get() : symbol;
  if (const auto version = nbdkit_version_with(symbol); !version.empty()) {
    text += " (nbdkit " + std::string(version) + " or later)";
  } else if (symbol.starts_with("nbdkit_")) {
    text += " (in no nbdkit known to nbdcheck)";
  }
  return text;
}

// RTLD_NOW stops at the first symbol it cannot find; of the nbdkit_* ones we
// can name all, because only this program could have them.
std::vector<std::string> unresolved(const ElfFacts& elf, const std::string& first) {
  std::vector<std::string> symbols{first};
  for (const std::string& symbol : elf.undefined) {
    if (symbol != first && symbol.starts_with("nbdkit_") &&
        dlsym(RTLD_DEFAULT, symbol.c_str()) == nullptr) {
      symbols.push_back(symbol);
    }
  }
  return symbols;
}

}  // namespace

tl::expected<void*, LoadFailure> open_library(const std::string& path, const ElfFacts& elf) {
  // dlopen would look for a name without a slash elsewhere.
  const std::string file = path.find('/') == path.npos ? "./" + path : path;
  // nbdkit's own flags: some plugins (Perl, Python) load extensions that
  // expect to find the plugin's symbols.
  if (void* handle = dlopen(file.c_str(), RTLD_NOW | RTLD_GLOBAL); handle != nullptr) {
    return handle;
  }
  const char* error = dlerror();
  const std::string said = error == nullptr ? "dlopen failed" : error;

  LoadFailure failure{LoadFailure::Kind::dlopen_failed, path + ": cannot be loaded: " + said};
  if (const std::string first = symbol_in(said); !first.empty()) {
    failure.kind = LoadFailure::Kind::unresolved_symbols;
    failure.symbols = unresolved(elf, first);
    failure.message = path + ": cannot be loaded, unresolved: ";
    for (std::size_t i = 0; i < failure.symbols.size(); ++i) {
      if (i > 0) failure.message += ", ";
      failure.message += readable(failure.symbols[i]);
    }
    // The culprit may be a library the plugin needs rather than itself.
    if (std::find(elf.undefined.begin(), elf.undefined.end(), first) == elf.undefined.end()) {
      failure.message += " (" + said + ")";
    }
  }
  return tl::unexpected(std::move(failure));
}

}  // namespace nbdcheck
