// NBD_OPT_LIST: what is listed is well formed and can be opened.
#include <fmt/format.h>

#include <optional>
#include <set>

#include "checks/check_run.hpp"
#include "checks/client.hpp"
#include "nbdcheck/status_page.hpp"
#include "text/printable.hpp"

namespace nbdcheck::checks::export_list {
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

void judge_text(CheckRun& run, const ExportList& list) {
  for (const Export& entry : list.exports())
    for (const std::string& text : {entry.name, entry.description}) {
      if (valid_utf8(text) == text) continue;
      Violation v;
      v.rule = "export.utf8";
      v.message = fmt::format(".list_exports listed {}, which is not UTF-8.", quote(text));
      v.expected = "names and descriptions in UTF-8";
      return run.violated(std::move(v));
    }
}

// Either may be left out.
void judge_description(CheckRun& run, const Export& entry, const ExportInfo& info) {
  if (entry.description.empty() || !info.description || info.description->empty()) return;
  if (*info.description == entry.description) return;
  Violation v;
  v.rule = "export.description";
  v.message = fmt::format("The export {} is described in two ways.", quote(entry.name));
  v.expected = fmt::format("{}, as in the list", quote(entry.description));
  v.actual = fmt::format("{}, from .export_description", quote(*info.description));
  run.violated(std::move(v));
}

// A client that names no export gets the one the plugin itself has named.
void judge_default(CheckRun& run, Server& server) {
  Client client(server);
  if (!client.connect()) return;
  run.incidents().forget_errors();
  std::optional<Failure> failure;
  client.run([&](Connection& connection) {
    if (auto info = connection.info(""); !info) failure = std::move(info.error());
  });
  run.count_operations(1);
  // NULL: there is no default export.
  if (!failure || failure->where == Callback::default_export || failure->where == Callback::none)
    return;
  Violation v;
  v.rule = "export.default-opens";
  v.message = ".default_export names an export, but a client that asks for the default is refused.";
  v.expected = "an export that opens, or NULL from .default_export";
  v.actual = fmt::format("{} (error: {})", failure->message, run.incidents().last_error());
  run.violated(std::move(v));
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
    std::optional<ExportInfo> info;
    client.run([&](Connection& connection) {
      if (auto answer = connection.info(entry.name)) info = std::move(*answer);
    });
    run.count_operations(1);
    if (info) {
      judge_description(run, entry, *info);
      continue;
    }
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
    .rules = {"export.list", "export.listed-opens", "export.utf8", "export.description",
              "export.default-opens"},
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
          judge_text(run, list);
          set_phase("opening the listed exports");
          judge_openable(run, *server, list);
          if (run.subject().has("default_export")) judge_default(run, *server);
          server->stop();
          run.report_incidents();
        },
}};

}  // namespace
}  // namespace nbdcheck::checks::export_list
