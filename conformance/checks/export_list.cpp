// NBD_OPT_LIST: what is listed is well formed and can be opened.
#include <fmt/format.h>

#include <set>

#include "checks/check_run.hpp"
#include "checks/client.hpp"
#include "nbdcheck/status_page.hpp"

namespace nbdcheck {
namespace {

constexpr std::size_t most_opened = 16;  // of a long list

std::string not_applicable(const Subject& subject) {
  if (subject.has("list_exports") || subject.has("default_export") ||
      subject.has("export_description"))
    return "";
  return "no .list_exports";
}

void judge_unique(CheckRun& run, const ExportList& list) {
  std::set<std::string> seen;
  for (const Export& entry : list.exports()) {
    if (seen.insert(entry.name).second) continue;
    Violation v;
    v.rule = "export.list";
    v.message = fmt::format(".list_exports listed \"{}\" twice.", entry.name);
    v.expected = "each name once";
    return run.violated(std::move(v));
  }
}

// Another client, because a list of thousands of names must not make one
// connection open them all.
void judge_openable(CheckRun& run, Server& server, const ExportList& list) {
  std::size_t opened = 0;
  for (const Export& entry : list.exports()) {
    if (++opened > most_opened) return;
    Client client(server);
    if (!client.connect()) return;
    run.incidents().forget_errors();
    bool ok = false;
    client.run([&](Connection& connection) { ok = connection.info(entry.name).has_value(); });
    run.count_operations(1);
    if (ok) continue;
    Violation v;
    v.rule = "export.listed-opens";
    v.message = fmt::format(
        ".list_exports listed \"{}\", but a client that asks for it is refused.", entry.name);
    v.expected = "an export that opens";
    v.actual = "error: " + run.incidents().last_error();
    return run.violated(std::move(v));
  }
}

const Registration registration{{
    .id = "export.list",
    .summary = "the listed exports are well formed and can be opened",
    .rules = {"export.list", "export.listed-opens"},
    .not_applicable = not_applicable,
    .run =
        [](CheckRun& run) {
          const auto server = run.serve();
          if (!server) return;
          ExportList list;
          {
            Client client(*server);
            if (!client.connect()) return run.failed_to_start(client.failure());
            set_phase("listing the exports");
            client.run([&](Connection& connection) {
              if (auto listed = connection.list_exports()) list = std::move(*listed);
            });
          }
          run.count_operations(1);
          judge_unique(run, list);
          set_phase("opening the listed exports");
          judge_openable(run, *server, list);
          server->stop();
          run.report_incidents();
        },
}};

}  // namespace
}  // namespace nbdcheck
