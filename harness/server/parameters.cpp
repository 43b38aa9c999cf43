// nbdkit PLUGIN [key=value...]: nbdkit(1), nbdkit-plugin(3) ".config" and
// ".magic_config_key".
#include "server/parameters.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "server/call.hpp"

namespace nbdcheck {
namespace {

// Not <cctype>: keys are ASCII whatever the locale.
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_key_character(char c) {
  return is_letter(c) || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
}
bool is_key(std::string_view text) {
  return !text.empty() && is_letter(text.front()) && std::ranges::all_of(text, is_key_character);
}

}  // namespace

Parameter parse_parameter(const std::string& argument) {
  const std::size_t equals = argument.find('=');
  if (equals == std::string::npos || !is_key(std::string_view(argument).substr(0, equals))) {
    return {.bare = true, .key = {}, .value = argument};
  }
  return {.bare = false, .key = argument.substr(0, equals), .value = argument.substr(equals + 1)};
}

tl::expected<void, Failure> Server::config(std::span<const std::string> arguments) {
  Impl& self = *impl_;
  std::vector<std::string> all(arguments.begin(), arguments.end());
  if (!self.script.empty()) {
    all.insert(all.begin(), self.script);
    self.script.clear();
  }
  for (const std::string& argument : all) {
    Parameter parameter = parse_parameter(argument);
    if (parameter.bare) {
      if (self.table->config != nullptr && self.table->magic_config_key != nullptr) {
        parameter.key = self.table->magic_config_key;
      } else if (self.parameters.empty()) {
        parameter.key = "script";
      } else {
        return self.fail({.where = Callback::none,
                          .message = fmt::format("expecting key=value on the command line but "
                                                 "got: {}",
                                                 argument)});
      }
    }
    auto given = self.give(std::move(parameter.key), std::move(parameter.value));
    if (!given) return given;
  }
  return {};
}

tl::expected<void, Failure> Server::Impl::give(std::string key, std::string value) {
  if (table->config == nullptr) {
    return fail({.where = Callback::none,
                 .message = fmt::format("{}: this plugin does not need command line configuration",
                                        loaded_plugin->facts().name)});
  }
  parameters.push_back({ParameterString(std::move(key)), ParameterString(std::move(value))});
  const GivenParameter& given = parameters.back();
  const ThreadScope scope(*this);
  const int result = invoke(*this, Callback::config,
                            [&] { return table->config(given.key.c_str(), given.value.c_str()); });
  const bool ok = succeeded(Callback::config, result);
  check_parameters(Callback::config);
  if (ok) return {};
  return fail(failure(Callback::config, fmt::format(".config returned -1 for {}={}",
                                                    given.key.original(), given.value.original())));
}

void Server::Impl::check_parameters(Callback callback) {
  const auto check = [&](ParameterString& string, std::string_view what) {
    if (!string.modified()) return;
    report(IncidentKind::config_modified, callback,
           fmt::format("the {} \"{}\" handed to .config was changed by the plugin", what,
                       string.original()));
    string.restore();
  };
  for (GivenParameter& parameter : parameters) {
    check(parameter.key, "key");
    check(parameter.value, "value");
  }
}

}  // namespace nbdcheck
