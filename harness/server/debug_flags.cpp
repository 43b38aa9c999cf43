// nbdkit -D NAME.FLAG=N: nbdkit-plugin(3) "Debug Flags".  The value is stored
// in the plugin's global `int NAME_debug_FLAG` before .load.
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <set>

#include "server/server_impl.hpp"

namespace nbdcheck {
namespace {

struct DebugFlag {
  std::string name;
  std::string flag;
  int value;
};

std::optional<int> parse_int(const std::string& text) {
  char* end = nullptr;
  errno = 0;
  const long value = std::strtol(text.c_str(), &end, 0);
  const bool whole = end != text.c_str() && *end == '\0';
  if (errno != 0 || !whole || value < INT_MIN || value > INT_MAX) return std::nullopt;
  return static_cast<int>(value);
}

std::optional<DebugFlag> parse_debug_flag(const std::string& text) {
  const std::size_t dot = text.find('.');
  const std::size_t equals = text.find('=');
  if (dot == std::string::npos || equals == std::string::npos || dot == 0 || equals <= dot + 1) {
    return std::nullopt;
  }
  const auto value = parse_int(text.substr(equals + 1));
  if (!value) return std::nullopt;
  return DebugFlag{text.substr(0, dot), text.substr(dot + 1, equals - dot - 1), *value};
}

}  // namespace

bool valid_debug_flag(const std::string& text) { return parse_debug_flag(text).has_value(); }

void Server::Impl::apply_debug_flags() {
  std::set<std::string> seen;
  for (const std::string& text : options.debug_flags) {
    const auto flag = parse_debug_flag(text);
    if (!flag || flag->name == "nbdkit") continue;  // nbdkit.*: the server's own
    if (flag->name != loaded_plugin->facts().name) {
      error(fmt::format("warning: debug flag -D {} was not used", text));
      continue;
    }
    std::string symbol = fmt::format("{}_debug_{}", flag->name, flag->flag);
    std::ranges::replace(symbol, '.', '_');
    if (!seen.insert(symbol).second) continue;  // the first one wins
    if (void* variable = loaded_plugin->symbol(symbol.c_str())) {
      *static_cast<int*>(variable) = flag->value;
    } else {
      error(fmt::format("warning: -D {}: {} does not contain a global variable called {}", text,
                        flag->name, symbol));
    }
  }
}

}  // namespace nbdcheck
