// One life as short as it can be: load, configure, start, one client that
// lists, opens, reads and leaves, stop, unload.  What the server notices on the
// way is judged here; so this runs also when the plugin cannot be started.
#include <vector>

#include "checks/check_run.hpp"
#include "checks/client.hpp"
#include "nbdcheck/status_page.hpp"

namespace nbdcheck::checks::lifecycle_serve {
namespace {

void be_a_client(CheckRun& run, Server& server) {
  Client client(server);
  set_phase("connecting");
  if (!client.connect()) return run.failed_to_start(client.failure());
  set_phase("listing the exports");
  client.run([](Connection& connection) { (void)connection.list_exports(); });
  set_phase("opening the export");
  if (!client.open(run.request().export_name)) return run.failed_to_start(client.failure());
  set_phase("reading");
  std::vector<std::byte> data;
  for (const Place& place : sample_places(run.subject())) {
    data.resize(place.count);
    client.read(data, place.offset);
    run.count_operations(1);
  }
  set_phase("closing the connection");
}

const Registration registration{{
    .id = "lifecycle.serve",
    .summary = "from .load to .unload, with one client between",
    .rules = {"lifecycle.return-value", "error.message-lifecycle", "config.read-only",
              "lifecycle.connection-context", "lifecycle.no-early-sleep", "lifecycle.server-abort"},
    .not_applicable = {},
    .run =
        [](CheckRun& run) {
          const auto server = run.serve();
          if (!server) return;
          be_a_client(run, *server);
          set_phase("stopping the server");
          server->stop();
          run.report_incidents();
        },
    .static_only = true,
}};

}  // namespace
}  // namespace nbdcheck::checks::lifecycle_serve
