// nbdkit PLUGIN ARGS --dump-plugin: .config, .thread_model and .dump_plugin,
// but never .config_complete.  What comes out is read by scripts.
#include <fmt/format.h>

#include <string>
#include <string_view>

#include "checks/check_run.hpp"
#include "nbdcheck/status_page.hpp"

namespace nbdcheck::checks::lifecycle_dump_plugin {
namespace {

// key=value, where the key is what a shell script can look for.
bool is_field(std::string_view line) {
  const auto equals = line.find('=');
  if (equals == 0 || equals == std::string_view::npos) return false;
  return line.substr(0, equals).find_first_of(" \t") == std::string_view::npos;
}

void judge_lines(CheckRun& run, std::string_view text) {
  while (!text.empty()) {
    const auto end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    text = end == std::string_view::npos ? "" : text.substr(end + 1);
    if (line.empty() || is_field(line)) continue;
    Violation v;
    v.rule = "lifecycle.dump-plugin";
    v.message = "The output of --dump-plugin has a line that is no field.";
    v.expected = "key=value lines from .dump_plugin";
    v.actual = fmt::format("\"{}\"", line.substr(0, 200));
    return run.violated(std::move(v));
  }
}

const Registration registration{{
    .id = "lifecycle.dump-plugin",
    .summary = "--dump-plugin works without .config_complete and prints key=value lines",
    .rules = {"lifecycle.dump-plugin"},
    .not_applicable = {},
    .run =
        [](CheckRun& run) {
          const auto server = run.load(run.server_options());
          if (!server) return;
          set_phase("dumping the plugin, without .config_complete");
          const auto text = server->dump_plugin(run.request().arguments);
          if (text) {
            judge_lines(run, *text);
          } else if (text.error().where == Callback::thread_model) {
            Violation v;
            v.rule = "lifecycle.dump-plugin";
            v.message =
                ".thread_model returned -1 when it was called after .config but without "
                ".config_complete, so that nbdkit --dump-plugin fails.";
            v.expected = "a thread model, as when the plugin is served with the same arguments";
            v.actual = "error: " + run.incidents().last_error();
            run.violated(std::move(v));
          } else {
            run.failed_to_start(text.error());
          }
          set_phase("unloading after --dump-plugin");
          server->unload();
          run.report_incidents();
        },
}};

}  // namespace
}  // namespace nbdcheck::checks::lifecycle_dump_plugin
