// A parameter and an export name with %% in them, which printf makes one % of:
// harmless, and visible in the message where a text is used as the format.
#include <fmt/format.h>

#include <array>

#include "checks/check_run.hpp"
#include "checks/client.hpp"
#include "nbdcheck/status_page.hpp"

namespace nbdcheck {
namespace {

constexpr std::string_view hostile = "nbdcheck-100%%-no-format";
constexpr std::string_view formatted = "nbdcheck-100%-no-format";

// REQUIRES: the last step failed.
void judge_message(CheckRun& run, const std::string& what) {
  const std::string message = run.incidents().last_error();
  if (message.find(formatted) == std::string::npos || message.find(hostile) != std::string::npos)
    return;
  Violation v;
  v.rule = "error.message-injection";
  v.message = fmt::format("{} that contains \"%%\" is part of the format of nbdkit_error.", what);
  v.expected = fmt::format("... {} ...", hostile);
  v.actual = message;
  run.violated(std::move(v));
}

void try_parameter(CheckRun& run) {
  const auto server = run.load(run.server_options());
  if (!server) return;
  set_phase("configuring the plugin");
  if (!server->config(run.request().arguments)) return run.unknown("it cannot be configured");
  set_phase("passing an unknown parameter with % in its value");
  run.incidents().forget_errors();
  const std::array unknown{fmt::format("nbdcheck-unknown-parameter={}", hostile)};
  if (!server->config(unknown) || !server->config_complete())
    judge_message(run, "The value of a parameter");
  run.report_incidents();
}

void try_export(CheckRun& run) {
  const auto server = run.serve();
  if (!server) return;
  {
    Client client(*server);
    set_phase("opening an unknown export with % in its name");
    run.incidents().forget_errors();
    if (!client.open(std::string(hostile))) judge_message(run, "The name of an export");
  }
  server->stop();
  run.report_incidents();
}

std::string no_config(const Subject& subject) { return subject.has("config") ? "" : "no .config"; }

const Registration parameter{{
    .id = "error.format-parameter",
    .summary = "a parameter is no format string",
    .rules = {"error.message-injection"},
    .not_applicable = no_config,
    .run = try_parameter,
}};

const Registration export_name{{
    .id = "error.format-export",
    .summary = "an export name is no format string",
    .rules = {"error.message-injection"},
    .not_applicable = {},
    .run = try_export,
}};

}  // namespace
}  // namespace nbdcheck
