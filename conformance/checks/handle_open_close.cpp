// Clients that come and go: leave before opening, right after it, after asking
// for information only; then a hundred in a row that read a little.
#include <fmt/format.h>

#include <chrono>

#include "checks/check_run.hpp"
#include "checks/client.hpp"
#include "nbdcheck/status_page.hpp"

namespace nbdcheck::checks::handle_open_close {
namespace {

constexpr int many = 100;
// Opening may be slow by nature (a disk image is made for each connection).
constexpr int few = 10;
constexpr std::chrono::milliseconds patience{1500};

void report(CheckRun& run, const Server& server, const char* rule, std::string message) {
  // Made for one client only: nbdkit is gone with it, and nobody can connect.
  if (server.shutting_down())
    return run.not_applicable("the plugin asks nbdkit to quit (nbdkit_shutdown)");
  Violation v;
  v.rule = rule;
  v.message = std::move(message);
  v.expected = "the export opens, as it did before";
  v.actual = "error: " + run.incidents().last_error();
  run.violated(std::move(v));
}

// False: an open failed.
bool short_visits(CheckRun& run, Server& server) {
  const std::string& name = run.request().export_name;
  set_phase("connecting without opening");
  Client(server).connect();
  set_phase("opening and closing at once");
  for (int i = 0; i < 3; ++i) {
    Client client(server);
    if (client.open_at_last(name)) continue;
    if (i == 0)
      run.failed_to_start(client.failure());
    else
      report(run, server, "handle.reopens",
             fmt::format("The export was opened and closed {} times; then it could not be opened.",
                         i));
    return false;
  }
  set_phase("asking for information, then opening");
  bool informed = false;
  for (int tries = 0; tries < open_tries; ++tries) {
    Client client(server);
    if (!client.connect()) return true;
    client.run([&](Connection& connection) { informed = connection.info(name).has_value(); });
    if (informed && client.open(name)) return true;
  }
  report(run, server, "handle.open-close",
         informed ? "After NBD_OPT_INFO (.open, .get_size, .can_..., .close) the same client could "
                    "not open the export."
                  : "NBD_OPT_INFO, which opens, asks and closes, failed, though opening works.");
  return false;
}

void many_visits(CheckRun& run, Server& server) {
  set_phase("opening, reading and closing again and again");
  const auto begin = std::chrono::steady_clock::now();
  const auto places = sample_places(run.subject());
  std::vector<std::byte> data;
  for (int i = 0; i < many; ++i) {
    if (i >= few && std::chrono::steady_clock::now() - begin > patience) return;
    Client client(server);
    if (!client.open_at_last(run.request().export_name))
      return report(run, server, "handle.reopens",
                    fmt::format("The export was opened and closed some {} times, one connection "
                                "after the other; then it could not be opened any more.",
                                i + 4));
    if (places.empty()) continue;
    const Place& place = places[static_cast<std::size_t>(i) % places.size()];
    data.resize(place.count);
    client.read(data, place.offset);
    run.count_operations(1);
  }
}

const Registration registration{{
    .id = "handle.open-close",
    .summary = "short visits, and a hundred connections one after the other",
    .rules = {"handle.open-close", "handle.reopens"},
    .not_applicable = {},
    .run =
        [](CheckRun& run) {
          const auto server = run.serve();
          if (!server) return;
          if (short_visits(run, *server)) many_visits(run, *server);
          if (!run.found_any()) server->stop();
          run.report_incidents();
        },
    // The probe opens the export twice: a plugin that allows that only once
    // has no subject.
    .static_only = true,
}};

}  // namespace
}  // namespace nbdcheck::checks::handle_open_close
