// The same plugin in an nbdkit that knows less of the struct: it copies the
// fields that it knows, and never calls what comes after them.  "We also try
// (but cannot guarantee) to support plugins compiled against a newer version ...
// although the plugin may have reduced functionality" (nbdkit-plugin(3) "API and
// ABI guarantee for C plugins"): less, then, but not a crash.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstddef>

#include "checks/client.hpp"
#include "checks/configured_life.hpp"
#include "nbdcheck/status_page.hpp"

namespace nbdcheck::checks::abi_older_server {
namespace {

struct Release {
  const char* version;
  std::size_t struct_size;
};
// Ascending.
constexpr std::array releases{
    Release{"1.18", offsetof(PluginStruct, after_fork)},
    Release{"1.22", offsetof(PluginStruct, default_export)},
    Release{"1.24", offsetof(PluginStruct, cleanup)},
    Release{"1.26", offsetof(PluginStruct, block_size)},
};

struct Late {
  const char* callback;
  std::size_t offset;
};
// What a plugin can do without.
constexpr std::array optional{
    Late{"list_exports", offsetof(PluginStruct, list_exports)},
    Late{"export_description", offsetof(PluginStruct, export_description)},
    Late{"cleanup", offsetof(PluginStruct, cleanup)},
    Late{"block_size", offsetof(PluginStruct, block_size)},
};
// What it may count on: what it starts in .after_fork, and that nobody asks for
// "" where .default_export has another name for it.
constexpr std::array essential{
    Late{"after_fork", offsetof(PluginStruct, after_fork)},
    Late{"default_export", offsetof(PluginStruct, default_export)},
};

// The oldest in which all is there that is needed and something is missing.
const Release* oldest(const Subject& subject) {
  const auto lacks = [&](const Release& release, const Late& late) {
    return subject.has(late.callback) && late.offset >= release.struct_size;
  };
  for (const Release& release : releases) {
    if (release.struct_size >= subject.plugin.struct_size) continue;
    if (std::ranges::any_of(essential, [&](const Late& l) { return lacks(release, l); })) continue;
    if (std::ranges::any_of(optional, [&](const Late& l) { return lacks(release, l); }))
      return &release;
  }
  return nullptr;
}

std::string visit(Server& server, const CheckRun& run) {
  Client client(server);
  if (!client.open(run.request().export_name)) return "not opened";
  for (const Place& place : sample_places(run.subject())) {
    std::vector<std::byte> data(place.count);
    if (place.offset + place.count <= client.info().size) client.read(data, place.offset);
  }
  return "read";
}

const Registration registration{{
    .id = "abi.older-server",
    .summary = "an older nbdkit that ignores the newer callbacks is no crash",
    .rules = {"abi.older-server"},
    .not_applicable = [](const Subject& subject) -> std::string {
      return oldest(subject) == nullptr ? "no callback that an older nbdkit lacks" : "";
    },
    .run =
        [](CheckRun& run) {
          const Release& release = *oldest(run.subject());
          set_phase("serving from an older nbdkit");
          ServerOptions options = run.server_options();
          options.host_struct_size = release.struct_size;
          const LifeEnd end = run_life(run, {run.request().arguments, options,
                                             [&](Server& server) { return visit(server, run); }});
          run.count_operations(1);
          if (!end.died()) return;
          const LifeEnd control =
              run_life(run, {run.request().arguments, run.server_options(),
                             [&](Server& server) { return visit(server, run); }});
          if (control.died()) return run.unknown("the plugin ends like that on any nbdkit");
          Violation v;
          v.rule = "abi.older-server";
          v.message = fmt::format(
              "nbdkit {} knows {} bytes of struct nbdkit_plugin and calls none of the callbacks "
              "behind them; there the plugin ended {} {}.",
              release.version, release.struct_size, end.step.starts_with('.') ? "in" : "while",
              end.step);
          v.expected = "less functionality, or an error from a callback";
          v.actual = end.end == TrialEnd::Kind::killed ? signal_abbreviation(end.code)
                                                       : fmt::format("exit({})", end.code);
          run.violated(std::move(v));
        },
}};

}  // namespace
}  // namespace nbdcheck::checks::abi_older_server
