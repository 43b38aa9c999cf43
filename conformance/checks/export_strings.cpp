// Strings between plugin and server, each for its time only: nbdkit-plugin(3)
// "STRING LIFETIME".  What nbdkit_export_name gives, and what is interned while a
// connection is open, ends with it.  That a plugin looks at one later shows as
// an access to memory that is gone (the runner tells by the address).
#include "checks/check_run.hpp"
#include "checks/client.hpp"
#include "nbdcheck/status_page.hpp"

namespace nbdcheck::checks::export_strings {
namespace {

void visit(CheckRun& run, Server& server, bool list_first) {
  Client client(server);
  if (!client.connect()) return;
  if (list_first)
    client.run([](Connection& connection) { static_cast<void>(connection.list_exports()); });
  client.run([](Connection& connection) { static_cast<void>(connection.info("")); });
  if (!client.open(run.request().export_name)) return;
  for (const Place& place : sample_places(run.subject())) {
    std::vector<std::byte> data(place.count);
    client.read(data, place.offset);
    run.count_operations(1);
  }
}

const Registration registration{{
    .id = "export.strings",
    .summary = "strings are used, and last, as long as they should",
    .rules = {"export.interned-kept", "export.returned-strings"},
    .not_applicable = {},
    .run =
        [](CheckRun& run) {
          ServerOptions options = run.server_options();
          options.guard_strings = true;
          const auto server = run.serve(std::move(options));
          if (!server) return;
          set_phase("connections one after the other, each with strings of its own");
          for (const bool list_first : {false, true, false}) visit(run, *server, list_first);
          set_phase("ending when all connections have ended");
          server->stop();
          run.report_incidents();
        },
}};

}  // namespace
}  // namespace nbdcheck::checks::export_strings
