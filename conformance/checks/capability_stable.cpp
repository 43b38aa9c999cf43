// Answers may differ from one .open to the next (nbdkit-plugin(3) "Callback
// lifecycle"), but some cases mislead a client: NBD_OPT_INFO followed at once by
// NBD_OPT_GO, and connections that a single client uses together.  And a disk
// that is smaller each time it is opened is no disk.
#include <fmt/format.h>

#include <array>
#include <optional>

#include "checks/check_run.hpp"
#include "checks/client.hpp"
#include "nbdcheck/status_page.hpp"

namespace nbdcheck::checks::capability_stable {
namespace {

struct Difference {
  const char* what;
  std::uint64_t first;
  std::uint64_t second;
};

std::optional<Difference> difference(const ExportInfo& a, const ExportInfo& b) {
  const BlockSize block_a = a.block_size.value_or(BlockSize{});
  const BlockSize block_b = b.block_size.value_or(BlockSize{});
  const std::array all{
      Difference{".get_size", a.size, b.size},
      Difference{".can_write", a.can_write, b.can_write},
      Difference{".can_flush", a.can_flush, b.can_flush},
      Difference{".is_rotational", a.rotational, b.rotational},
      Difference{".can_trim", a.can_trim, b.can_trim},
      Difference{".can_zero", a.zero == zero_native, b.zero == zero_native},
      Difference{".can_fast_zero", a.can_fast_zero, b.can_fast_zero},
      Difference{".can_fua", a.fua, b.fua},
      Difference{".can_multi_conn", a.multi_conn, b.multi_conn},
      Difference{".can_cache", a.cache, b.cache},
      Difference{".can_extents", a.can_extents, b.can_extents},
      Difference{".block_size (minimum)", block_a.minimum, block_b.minimum},
      Difference{".block_size (preferred)", block_a.preferred, block_b.preferred},
      Difference{".block_size (maximum)", block_a.maximum, block_b.maximum},
  };
  for (const Difference& one : all)
    if (one.first != one.second) return one;
  return std::nullopt;
}

void report(CheckRun& run, const Difference& found, const char* occasion) {
  Violation v;
  v.rule = "capability.stable";
  v.message =
      fmt::format("{} gave {} and then {}, {}.", found.what, found.first, found.second, occasion);
  v.expected = "the same answer, as nothing happened between";
  run.violated(std::move(v));
}

// What INFO and GO say on one connection.
std::optional<Difference> ask_twice(CheckRun& run, Server& server) {
  Client client(server);
  if (!client.connect()) return std::nullopt;
  std::optional<ExportInfo> info;
  client.run([&](Connection& connection) {
    if (auto answer = connection.info(run.request().export_name)) info = std::move(*answer);
  });
  if (!info || !client.open(run.request().export_name)) return std::nullopt;
  run.count_operations(2);
  return difference(*info, client.info());
}

// What a client sees that opens the export twice.
std::optional<Difference> ask_on_two(CheckRun& run, Server& server) {
  Client first(server);
  Client second(server);
  if (!first.open(run.request().export_name) || !second.open(run.request().export_name))
    return std::nullopt;
  run.count_operations(2);
  return difference(first.info(), second.info());
}

// Closed and opened with nothing done to it, an export may have grown.
void judge_size(CheckRun& run, Server& server) {
  std::array<std::uint64_t, 3> sizes{};
  for (std::uint64_t& size : sizes) {
    Client client(server);
    if (!client.open(run.request().export_name)) return;
    size = client.info().size;
    run.count_operations(1);
  }
  if (sizes[1] >= sizes[0] && sizes[2] >= sizes[1]) return;
  Violation v;
  v.rule = "capability.stable";
  v.message = fmt::format(
      ".get_size gave {}, {} and {} on three connections, one after the other; nothing was "
      "written.",
      sizes[0], sizes[1], sizes[2]);
  v.expected = "an export that does not shrink by itself";
  run.violated(std::move(v));
}

const Registration registration{{
    .id = "capability.stable",
    .summary = "the same question at the same time has the same answer",
    .rules = {"capability.stable"},
    .not_applicable = {},
    .run =
        [](CheckRun& run) {
          const auto server = run.serve();
          if (!server) return;
          set_phase("asking for the capabilities again");
          judge_size(run, *server);
          // Twice each: a size that grows by itself differs once.
          if (!run.found_any() && ask_twice(run, *server))
            if (const auto found = ask_twice(run, *server))
              report(run, *found, "in NBD_OPT_INFO and in NBD_OPT_GO at once after it");
          if (run.subject().info.advertises_multi_conn && !run.found_any())
            if (ask_on_two(run, *server))
              if (const auto found = ask_on_two(run, *server))
                report(run, *found, "on two connections that .can_multi_conn lets a client join");
          server->stop();
          run.report_incidents();
        },
}};

}  // namespace
}  // namespace nbdcheck::checks::capability_stable
