#include "cli/options.hpp"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <regex>

#include "text/nearest.hpp"
#include "text/printable.hpp"

namespace nbdcheck {
namespace {

using Error = tl::unexpected<CliExit>;

template <typename... Args>
Error wrong(fmt::format_string<Args...> format, Args&&... args) {
  return Error(usage_error(fmt::format(format, std::forward<Args>(args)...)));
}

// Everything as it was typed; CLI11 splits, we judge the values, so that all
// complaints sound alike.
struct Raw {
  std::string profile, time, seed, only, skip, jobs, timeout, persistence, exportname, artifacts,
      waivers, fail_on, color, repeat, format, consistency, nbdkit, target;
  std::vector<std::string> reports, backing;
  bool unstable_contents = false, readonly = false, write_in_place = false, in_process = false,
       valgrind = false,
       quiet = false, verbose = false, rules = false, checks = false, version = false, help = false;
};

void declare(CLI::App& app, Raw& raw) {
  const auto value = [&](const char* name, std::string& target) {
    app.add_option(name, target)->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  };
  value("--profile", raw.profile);
  value("--time", raw.time);
  value("--seed", raw.seed);
  value("--only", raw.only);
  value("--skip", raw.skip);
  value("--jobs", raw.jobs);
  value("--timeout", raw.timeout);
  value("--persistence", raw.persistence);
  value("--exportname", raw.exportname);
  value("--artifacts", raw.artifacts);
  value("--waivers", raw.waivers);
  value("--fail-on", raw.fail_on);
  value("--color", raw.color);
  value("--repeat", raw.repeat);
  value("--consistency", raw.consistency);
  value("--format", raw.format);
  value("--nbdkit", raw.nbdkit);
  value("--target", raw.target);
  app.add_option_function<std::string>(
         "--report", [&raw](const std::string& text) { raw.reports.push_back(text); })
      ->trigger_on_parse();
  app.add_option_function<std::string>(
         "--backing", [&raw](const std::string& text) { raw.backing.push_back(text); })
      ->trigger_on_parse();
  const auto flag = [&](const char* name, bool& target) {
    app.add_flag(name, target)
        ->disable_flag_override()
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  };
  flag("--unstable-contents", raw.unstable_contents);
  flag("-r,--readonly", raw.readonly);
  flag("--write-in-place", raw.write_in_place);
  flag("--in-process", raw.in_process);
  flag("--valgrind", raw.valgrind);
  flag("--quiet", raw.quiet);
  flag("--verbose", raw.verbose);
  flag("--rules", raw.rules);
  flag("--checks", raw.checks);
  flag("--version", raw.version);
  flag("-h,--help", raw.help);
}

template <typename Value, std::size_t n>
using Words = std::array<std::pair<std::string_view, Value>, n>;

constexpr Words<Effort, 3> profiles{
    {{"quick", Effort::quick}, {"standard", Effort::standard}, {"thorough", Effort::thorough}}};
constexpr Words<Persistence, 3> persistences{{{"auto", Persistence::unknown},
                                              {"shared", Persistence::shared},
                                              {"per-connection", Persistence::per_connection}}};
constexpr Words<Severity, 3> severities{
    {{"must", Severity::must}, {"should", Severity::should}, {"quality", Severity::quality}}};
constexpr Words<Options::Color, 3> colors{{{"auto", Options::Color::automatic},
                                           {"always", Options::Color::always},
                                           {"never", Options::Color::never}}};
constexpr Words<Consistency, 2> consistencies{
    {{"regular", Consistency::regular}, {"atomic", Consistency::atomic}}};
constexpr Words<bool, 2> targets{{{"plugin", false}, {"nbdkit", true}}};
constexpr Words<bool, 2> formats{{{"text", false}, {"json", true}}};
constexpr std::array<std::string_view, 2> report_formats{"json", "events"};

class Reader {
 public:
  Reader(const CLI::App& app) : app_(app) {}

  // Each does nothing when the option was not given, or after an error.
  template <typename Value, std::size_t n>
  void word(const char* option, const std::string& text, const Words<Value, n>& words,
            Value& target) {
    if (!given(option)) return;
    std::vector<std::string_view> names;
    for (const auto& [name, value] : words) {
      if (name == text) target = value;
      names.push_back(name);
    }
    if (std::find(names.begin(), names.end(), text) == names.end()) {
      fail("{} is one of {}, not {}", option, fmt::join(names, ", "), quote(text));
    }
  }

  template <typename Number>
  std::optional<Number> whole(const char* option, const std::string& text, Number least,
                              Number most) {
    if (!given(option)) return std::nullopt;
    Number number = 0;
    const char* const end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, number);
    if (text.empty() || stop != end || error != std::errc() || number < least || number > most) {
      fail("{} is a number from {} to {}, not {}", option, least, most, quote(text));
      return std::nullopt;
    }
    return number;
  }

  void seconds(const char* option, const std::string& text, std::optional<double>& target) {
    if (!given(option)) return;
    constexpr double most = 1e7;  // some months; keeps arithmetic on times safe
    double number = 0;
    const char* const end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, number);
    if (text.empty() || stop != end || error != std::errc() || !(number > 0 && number <= most)) {
      fail("{} is a positive number of seconds{}, not {}", option,
           option == std::string_view("--time") ? ", or share" : "", quote(text));
      return;
    }
    target = number;
  }

  void regex(const char* option, const std::string& text, std::string& target) {
    if (!given(option)) return;
    constexpr std::size_t longest = 1000;  // std::regex recurses
    if (text.size() > longest) {
      return fail("{} is a regular expression of at most {} characters", option, longest);
    }
    try {
      const std::regex tried(text);
    } catch (const std::regex_error&) {
      return fail("{} is not a valid regular expression: {}", option, quote(text));
    }
    target = text;
  }

  void reports(const std::vector<std::string>& texts, std::vector<ReportRequest>& target) {
    for (const std::string& text : texts) {
      const std::size_t colon = text.find(':');
      const std::string format = text.substr(0, colon);
      if (colon == std::string::npos || colon + 1 == text.size()) {
        return fail("--report is FORMAT:FILE, not {}", quote(text));
      }
      if (std::find(report_formats.begin(), report_formats.end(), format) == report_formats.end()) {
        return fail("unknown report format {}; formats are: {}", quote(format),
                    fmt::join(report_formats, ", "));
      }
      target.push_back({format, text.substr(colon + 1)});
    }
  }

  // An option of one command given with another.
  void belongs(const char* option, bool here, std::string_view command) {
    if (given(option) && !here) fail("{} goes with 'nbdcheck {}'", option, command);
  }

  template <typename... Args>
  void fail(fmt::format_string<Args...> format, Args&&... args) {
    if (!error_) error_ = usage_error(fmt::format(format, std::forward<Args>(args)...));
  }

  [[nodiscard]] bool given(const char* option) const { return !error_ && app_.count(option) != 0; }
  [[nodiscard]] const std::optional<CliExit>& error() const { return error_; }

 private:
  const CLI::App& app_;
  std::optional<CliExit> error_;
};

CliExit unknown_option(const CLI::App& app, const std::string& word) {
  const std::string name = word.substr(0, word.find('='));
  std::vector<std::string> known;
  for (const CLI::Option* option : app.get_options())
    known.push_back("--" + option->get_lnames().at(0));
  const std::vector<std::string_view> views(known.begin(), known.end());
  const std::string near = name.size() > 3 ? nearest(name, views) : "";
  return usage_error(
      fmt::format("unknown option {}{}", quote(name),
                  near.empty() ? "; see nbdcheck --help" : "; did you mean " + near + "?"));
}

// CLI11 takes "[a,b]" for a list and strips the brackets, so positional words
// come as its extras, untouched.
tl::expected<void, CliExit> split(CLI::App& app, std::span<const std::string> arguments) {
  app.allow_extras();
  std::vector<std::string> reversed;
  for (auto word = arguments.rbegin(); word != arguments.rend(); ++word) {
    // CLI11 would take the word after "--option=" for the value.
    const bool without_value = word->starts_with("--") && word->find('=') == word->size() - 1;
    if (without_value && *word != "--exportname=") {
      return wrong("option {} needs a value", printable(word->substr(0, word->size() - 1)));
    }
    if (!without_value) reversed.push_back(*word);
  }
  try {
    app.parse(std::move(reversed));
  } catch (const CLI::ArgumentMismatch& error) {
    const std::string what = error.what();
    std::string option = what.substr(0, what.find_first_of(": "));
    if (!option.starts_with('-')) option.insert(0, "--");
    const bool flag = what.find("override") != std::string::npos;
    return wrong("option {} {}", printable(option), flag ? "takes no value" : "needs a value");
  } catch (const CLI::ParseError& error) {
    return wrong("{}", printable(error.what()));
  }
  for (const std::string& word : app.remaining()) {
    if (word.size() > 1 && word.starts_with('-')) return Error(unknown_option(app, word));
  }
  return {};
}

// Takes the words of a command, of which there must be just one.
void only_word(Reader& reader, const std::vector<std::string>& words, std::string_view command,
               std::string_view what, std::string& target) {
  if (words.size() < 2 || words[1].empty()) {
    return reader.fail("'nbdcheck {}' needs {}", command, what);
  }
  if (words.size() > 2) return reader.fail("too many arguments: {}", quote(words[2]));
  target = words[1];
}

void read_command(Reader& reader, std::vector<std::string> words, bool may_be_command,
                  const Raw& raw, Options& options) {
  const std::string first = words.empty() ? "" : words[0];
  if (may_be_command && first == "list") {
    options.command = Options::Command::list;
    if (words.size() > 1) return reader.fail("too many arguments: {}", quote(words[1]));
    if (raw.rules && !raw.checks) options.listing = Options::Listing::rules;
    if (raw.checks && !raw.rules) options.listing = Options::Listing::checks;
  } else if (may_be_command && first == "explain") {
    options.command = Options::Command::explain;
    only_word(reader, words, "explain", "RULE, the id of a rule", options.rule);
  } else if (may_be_command && first == "replay") {
    options.command = Options::Command::replay;
    only_word(reader, words, "replay", "FILE.plan", options.plan_file);
  } else if (may_be_command && first == "judge") {
    options.command = Options::Command::judge;
    only_word(reader, words, "judge", "HISTORY.jsonl", options.history_file);
  } else if (first.empty()) {
    reader.fail("PLUGIN is missing; see nbdcheck --help");
  } else {
    options.plugin = first;
    words.erase(words.begin());
    options.arguments = std::move(words);
  }
}

}  // namespace

CliExit usage_error(const std::string& what) { return {2, "nbdcheck: " + what + "\n", true}; }

tl::expected<Options, CliExit> parse_options(std::span<const std::string> arguments) {
  CLI::App app;
  app.set_help_flag();
  Raw raw;
  declare(app, raw);

  // After "--" nothing is an option or a command.
  const auto dashes = std::find(arguments.begin(), arguments.end(), "--");
  const auto head_size = static_cast<std::size_t>(dashes - arguments.begin());
  if (auto done = split(app, arguments.first(head_size)); !done) return Error(done.error());
  if (raw.help) return Error(CliExit{0, help_text(), false});
  if (raw.version) return Error(CliExit{0, "nbdcheck " NBDCHECK_VERSION "\n", false});
  std::vector<std::string> words = app.remaining();
  const bool may_be_command = !words.empty();
  if (dashes != arguments.end()) words.insert(words.end(), dashes + 1, arguments.end());

  Options options;
  Reader reader(app);
  read_command(reader, std::move(words), may_be_command, raw, options);
  const bool list = options.command == Options::Command::list;
  reader.belongs("--rules", list, "list");
  reader.belongs("--checks", list, "list");
  reader.belongs("--format", list, "list");
  reader.belongs("--repeat", options.command == Options::Command::replay, "replay FILE.plan");
  reader.belongs("--target", options.command == Options::Command::replay, "replay FILE.plan");
  reader.belongs("--consistency",
                 options.command == Options::Command::judge ||
                     options.command == Options::Command::run ||
                     options.command == Options::Command::replay,
                 "PLUGIN, replay FILE.plan and judge HISTORY.jsonl");
  reader.word("--consistency", raw.consistency, consistencies, options.consistency);
  reader.word("--format", raw.format, formats, options.list_as_json);
  reader.word("--target", raw.target, targets, options.on_nbdkit);
  if (const auto repeat = reader.whole("--repeat", raw.repeat, 1U, 1'000'000U)) {
    options.repeat = *repeat;
  }
  reader.word("--profile", raw.profile, profiles, options.profile);
  if (raw.time == "share" && reader.given("--time"))
    options.share_of_time = true;
  else
    reader.seconds("--time", raw.time, options.seconds);
  options.seed = reader.whole<std::uint64_t>("--seed", raw.seed, 0, UINT64_MAX);
  reader.regex("--only", raw.only, options.only);
  reader.regex("--skip", raw.skip, options.skip);
  if (const auto jobs = reader.whole("--jobs", raw.jobs, 1U, 1024U)) options.jobs = *jobs;
  reader.seconds("--timeout", raw.timeout, options.timeout);
  reader.word("--persistence", raw.persistence, persistences, options.persistence);
  reader.word("--fail-on", raw.fail_on, severities, options.fail_on);
  reader.word("--color", raw.color, colors, options.color);
  reader.reports(raw.reports, options.reports);
  if (raw.quiet && raw.verbose) reader.fail("--quiet and --verbose exclude each other");
  options.artifacts = raw.artifacts;
  options.waivers = raw.waivers;
  options.nbdkit = raw.nbdkit;
  options.export_name = raw.exportname;
  options.unstable_contents = raw.unstable_contents;
  options.readonly = raw.readonly;
  options.write_in_place = raw.write_in_place;
  if (std::ranges::find(raw.backing, "") != raw.backing.end())
    reader.fail("--backing is the KEY of an argument, not ''");
  options.backing = std::move(raw.backing);
  options.in_process = raw.in_process;
  options.valgrind = raw.valgrind;
  options.quiet = raw.quiet;
  options.verbose = raw.verbose;
  if (reader.error()) return Error(*reader.error());
  return options;
}

}  // namespace nbdcheck
