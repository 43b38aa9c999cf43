// What `nbdkit PLUGIN --help` prints of the plugin's parameters.
#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "checks/configured_life.hpp"
#include "nbdcheck/status_page.hpp"

namespace nbdcheck::checks::config_help {
namespace {

bool is_word_character(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_';
}

// As a word by itself, whatever its case: "SIZE=<N>" speaks of size.
bool names(const std::string& help, const std::string& key) {
  const auto same = [](char a, char b) {
    return std::tolower(static_cast<unsigned char>(a)) ==
           std::tolower(static_cast<unsigned char>(b));
  };
  for (auto at = help.begin();;) {
    at = std::search(at, help.end(), key.begin(), key.end(), same);
    if (at == help.end()) return false;
    const auto after = at + static_cast<std::ptrdiff_t>(key.size());
    const bool starts = at == help.begin() || !is_word_character(at[-1]);
    const bool ends = after == help.end() || !is_word_character(*after);
    if (starts && ends) return true;
    ++at;
  }
}

void judge_text(CheckRun& run, const std::string& help) {
  const auto control = std::ranges::find_if(help, [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return (byte < ' ' && c != '\n' && c != '\t') || byte == 0x7f;
  });
  if (control == help.end()) return;
  Violation v;
  v.rule = "config.help";
  v.message = fmt::format(".config_help has a control character ({:#04x}) at byte {}.",
                          static_cast<unsigned char>(*control), control - help.begin());
  v.expected = "text of one or more lines";
  run.violated(std::move(v));
}

// Not all that there is: of an interpreter's plugin the script's are missing,
// others say so: "size=<SIZE> ...", "[etc]".
bool is_partial(const Subject& subject) {
  if (script_argument(subject.arguments, subject.plugin) < subject.arguments.size()) return true;
  const std::string& help = subject.plugin.config_help;
  return help.find("...") != std::string::npos || names(help, "etc") || names(help, "other") ||
         help.find('=') == std::string::npos;
}

// A plugin that takes any key (a script's, or variables) cannot list them.
bool refuses_unknown(CheckRun& run) {
  std::vector<std::string> arguments = run.request().arguments;
  arguments.emplace_back("nbdcheck-unknown-parameter=1");
  const LifeEnd end = run_life(run, {std::move(arguments), run.server_options()});
  return end.end == TrialEnd::Kind::finished && end.refusal.has_value();
}

void judge_keys(CheckRun& run, const std::string& help) {
  const PluginFacts& plugin = run.subject().plugin;
  std::vector<std::string> missing;
  for (const GivenArgument& argument : given_arguments(run.request().arguments, plugin))
    if (!names(help, argument.key)) missing.push_back(argument.key);
  if (missing.empty() || !refuses_unknown(run)) return;
  Violation v;
  v.rule = "config.help";
  v.message = fmt::format(".config_help lists parameters, but not {}, which the plugin accepts.",
                          missing.front());
  v.expected = fmt::format("a line that begins with \"{}=\"", missing.front());
  v.actual = fmt::format("{} lines without it", std::ranges::count(help, '\n') + 1);
  run.violated(std::move(v));
}

const Registration registration{{
    .id = "config.help",
    .summary = ".config_help is text, and lists the parameters that were given",
    .rules = {"config.help"},
    .not_applicable = [](const Subject& subject) -> std::string {
      return subject.plugin.config_help.empty() ? "no .config_help" : "";
    },
    .run =
        [](CheckRun& run) {
          const std::string& help = run.subject().plugin.config_help;
          judge_text(run, help);
          if (!run.found_any() && !is_partial(run.subject())) judge_keys(run, help);
        },
}};

}  // namespace
}  // namespace nbdcheck::checks::config_help
