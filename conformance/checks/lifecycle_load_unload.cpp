// nbdkit PLUGIN --help and --version load the plugin, ask its struct and unload
// it again: no parameter is seen, nothing is served.
#include "checks/check_run.hpp"
#include "nbdcheck/status_page.hpp"

namespace nbdcheck::checks::lifecycle_load_unload {
namespace {

const Registration registration{{
    .id = "lifecycle.load-unload",
    .summary = ".load and .unload with nothing between, as for nbdkit PLUGIN --help",
    .rules = {"process.crash", "process.hang", "process.exit"},
    .not_applicable = {},
    .run =
        [](CheckRun& run) {
          const auto server = run.load(run.server_options());
          if (!server) return;
          set_phase("unloading a plugin that was only loaded");
          server->unload();
        },
    .static_only = true,
}};

}  // namespace
}  // namespace nbdcheck::checks::lifecycle_load_unload
