// A parameter that no plugin knows, after the user's own.
#include <fmt/format.h>

#include <array>

#include "checks/check_run.hpp"
#include "nbdcheck/status_page.hpp"

namespace nbdcheck::checks::config_unknown_key {
namespace {

constexpr const char* unknown_key = "nbdcheck-unknown-parameter";

std::string not_applicable(const Subject& subject) {
  return subject.has("config") ? "" : "no .config";
}

const Registration registration{{
    .id = "config.unknown-key",
    .summary = "a parameter that the plugin does not know is refused, with a message",
    .rules = {"config.unknown-key", "error.message-lifecycle"},
    .not_applicable = not_applicable,
    .run =
        [](CheckRun& run) {
          const auto server = run.load(run.server_options());
          if (!server) return;
          set_phase("configuring the plugin");
          if (const auto ok = server->config(run.request().arguments); !ok)
            return run.failed_to_start(ok.error());
          set_phase("passing an unknown parameter");
          const std::array unknown{std::string(unknown_key) + "=1"};
          bool accepted = server->config(unknown).has_value();
          // Some plugins keep all parameters and look at them later.
          if (accepted) {
            set_phase("completing the configuration with an unknown parameter");
            accepted = server->config_complete().has_value();
          }
          if (accepted) {
            Violation v;
            v.rule = "config.unknown-key";
            v.message = fmt::format(
                ".config(\"{}\", \"1\") and then .config_complete() returned 0: a parameter "
                "that is misspelt will be ignored.",
                unknown_key);
            v.expected = "nbdkit_error(\"unknown parameter '%s'\", key) and -1";
            v.actual = "both returned 0";
            run.violated(std::move(v));
          }
          run.report_incidents();
        },
}};

}  // namespace
}  // namespace nbdcheck::checks::config_unknown_key
