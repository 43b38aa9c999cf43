// The answers to .get_size, .block_size and the .can_... questions: values that
// mean something, and callbacks behind what they announce.
#include <fmt/format.h>

#include <vector>

#include "checks/check_run.hpp"
#include "checks/client.hpp"
#include "nbdcheck/status_page.hpp"

namespace nbdcheck::checks::capability_values {
namespace {

// How many writes succeed, and fail with FUA; 0 when the first does not.
unsigned fail_with_fua(CheckRun& run, Client& client) {
  set_phase("writing with and without FUA");
  unsigned failed = 0;
  for (const Place& place : sample_places(run.subject())) {
    std::vector<std::byte> data(place.count);
    if (!client.read(data, place.offset).ok() || !client.write(data, place.offset).ok()) return 0;
    Reply reply;
    client.run([&](Connection& connection) {
      reply = connection.write(data, place.offset, command_flag::fua);
    });
    run.count_operations(3);
    if (reply.ok() || !client.write(data, place.offset).ok()) return 0;
    ++failed;
  }
  return failed;
}

// "The .flush callback must work (even if .can_flush returns false)".  One that
// says that it can flush may have its reasons to fail; others have none.
void judge_fua(CheckRun& run, const Server& server, Client& client) {
  const ExportInfo& info = client.info();
  if (info.fua != fua_emulate) return;
  const PluginStruct& callbacks = server.plugin().callbacks();
  // Seen in advance, so that it is found also where no client asks for FUA.
  const bool missing = callbacks.flush == nullptr && callbacks._flush_v1 == nullptr;
  const unsigned failed =
      missing || info.can_flush || !info.can_write ? 0 : fail_with_fua(run, client);
  if (!missing && failed == 0) return;
  Violation v;
  v.rule = "capability.fua-needs-flush";
  v.message =
      missing ? ".can_fua returned NBDKIT_FUA_EMULATE, but there is no .flush to emulate it with: "
                "a write with FUA is carried out and then fails with EINVAL."
              : ".can_fua returned NBDKIT_FUA_EMULATE, and .can_flush false; .flush, which nbdkit "
                "calls all the same, fails. A write with FUA is carried out and then fails.";
  v.expected = missing ? ".flush, or NBDKIT_FUA_NONE" : "a .flush that works, or NBDKIT_FUA_NONE";
  v.actual = missing ? ".flush is NULL"
                     : fmt::format("{} writes succeeded, and failed with FUA: {}", failed,
                                   run.incidents().last_error());
  run.violated(std::move(v));
}

const Registration registration{{
    .id = "capability.values",
    .summary = "the answers given in the handshake are legal, and callbacks back them",
    .rules = {"capability.bool-value", "capability.fua-value", "capability.cache-value",
              "size.value", "blocksize.valid", "capability.callback-present",
              "capability.zero-present", "capability.fua-needs-flush"},
    .not_applicable = {},
    .run =
        [](CheckRun& run) {
          const auto server = run.serve();
          if (!server) return;
          {
            Client client(*server);
            set_phase("asking for the capabilities");
            if (client.open(run.request().export_name)) {
              judge_fua(run, *server, client);
            } else {
              run.failed_to_start(client.failure());
            }
            run.count_operations(1);
          }
          server->stop();
          run.report_incidents();
        },
    // A size or a block size that no server accepts is found here, and there
    // the first client fails.
    .static_only = true,
}};

}  // namespace
}  // namespace nbdcheck::checks::capability_values
