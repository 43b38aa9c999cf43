// nbdkit is told to stop while a client is connected.  Whatever its manual
// says ("SHUTDOWN"), nbdkit then calls .cleanup and .unload without .close.
#include "checks/check_run.hpp"
#include "checks/client.hpp"
#include "nbdcheck/status_page.hpp"

namespace nbdcheck::checks::lifecycle_unload_open {
namespace {

const Registration registration{{
    .id = "lifecycle.unload-open",
    .summary = "a shutdown with a connection open: .cleanup and .unload without .close",
    .rules = {"process.crash", "process.hang", "process.exit"},
    .not_applicable = {},
    .run =
        [](CheckRun& run) {
          const auto server = run.serve();
          if (!server) return;
          {
            Client client(*server);
            if (!client.open(run.request().export_name))
              return run.failed_to_start(client.failure());
            std::vector<std::byte> data;
            for (const Place& place : sample_places(run.subject())) {
              data.resize(place.count);
              client.read(data, place.offset);
              run.count_operations(1);
            }
            server->shutdown();
          }
          set_phase("stopping with a connection open, so without .close");
          server->stop();
          run.report_incidents();
        },
}};

}  // namespace
}  // namespace nbdcheck::checks::lifecycle_unload_open
