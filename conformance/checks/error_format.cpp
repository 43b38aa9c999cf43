// Parameters and export names with a percent sign in them, which printf makes
// something of: harmless, and visible in the message where a text is used as the
// format.
#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "checks/check_run.hpp"
#include "checks/client.hpp"
#include "checks/configured_life.hpp"
#include "nbdcheck/status_page.hpp"

namespace nbdcheck::checks::error_format {
namespace {

// printf makes % of both.  Of "%%" templates and escapes of a plugin's own may do
// so, too; "%5%" is known to printf alone.
constexpr std::string_view plain_percent = "%%";
constexpr std::string_view wide_percent = "%5%";

// Names no file that could be made.
std::string text_with(std::string_view percent) {
  return fmt::format("nbdcheck-no-such-directory/100{}-no-format", percent);
}

// The message in which the text was used as a format; "": none.
std::string formatted_in(const std::vector<std::string>& messages, std::string_view percent) {
  const std::string verbatim = fmt::format("100{}-no-format", percent);
  const auto formatted = [&](const std::string& message) {
    return message.find("100%-no-format") != std::string::npos &&
           message.find(verbatim) == std::string::npos;
  };
  const auto found = std::ranges::find_if(messages, formatted);
  return found == messages.end() ? "" : *found;
}

// `told` gives the plugin a text, and returns what it says.
template <typename Told>
void try_text(CheckRun& run, const std::string& what, Told&& told) {
  if (formatted_in(told(text_with(plain_percent)), plain_percent).empty()) return;
  const std::string message = formatted_in(told(text_with(wide_percent)), wide_percent);
  if (message.empty()) return;
  Violation v;
  v.rule = "error.message-injection";
  v.message = fmt::format("{} that contains \"{}\" is part of the format of a message.", what,
                          wide_percent);
  v.expected = fmt::format("... {} ...", text_with(wide_percent));
  v.actual = message;
  run.violated(std::move(v));
}

std::vector<std::string> said_when_given(CheckRun& run, std::vector<std::string> arguments) {
  ServerOptions options = run.server_options();
  options.verbose = true;  // nbdkit_debug has a format, too
  const LifeEnd end = run_life(run, {std::move(arguments), options});
  run.count_operations(1);
  report_life(run, end, "given a value with % in it");
  return end.said;
}

void try_parameters(CheckRun& run) {
  std::vector<std::string> arguments = run.request().arguments;
  set_phase("passing an unknown parameter with % in its value");
  try_text(run, "The value of a parameter", [&](const std::string& text) {
    std::vector<std::string> all = arguments;
    all.push_back("nbdcheck-unknown-parameter=" + text);
    return said_when_given(run, std::move(all));
  });
  set_phase("passing parameters with % in their values");
  LifeBudget budget(run);
  for (const GivenArgument& argument : given_arguments(arguments, run.subject().plugin)) {
    if (run.found_any() || !budget.take()) return;
    try_text(run, fmt::format("A value of {}", argument.key), [&](const std::string& text) {
      return said_when_given(run, argument.with_value(arguments, text));
    });
  }
}

void try_export(CheckRun& run) {
  ServerOptions options = run.server_options();
  options.verbose = true;
  const auto server = run.serve(std::move(options));
  if (!server) return;
  set_phase("opening an unknown export with % in its name");
  try_text(run, "The name of an export", [&](const std::string& text) {
    run.incidents().keep_messages();
    Client client(*server);
    static_cast<void>(client.open(text));
    return run.incidents().messages();
  });
  server->stop();
  run.report_incidents();
}

std::string no_config(const Subject& subject) { return subject.has("config") ? "" : "no .config"; }

const Registration parameter{{
    .id = "error.format-parameter",
    .summary = "a parameter is no format string",
    .rules = {"error.message-injection", "process.crash", "error.message-lifecycle"},
    .not_applicable = no_config,
    .run = try_parameters,
}};

const Registration export_name{{
    .id = "error.format-export",
    .summary = "an export name is no format string",
    .rules = {"error.message-injection"},
    .not_applicable = {},
    .run = try_export,
}};

}  // namespace
}  // namespace nbdcheck::checks::error_format
