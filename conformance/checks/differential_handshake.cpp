// What a client is told before its first request: by our server, and by the
// real nbdkit, for every export name at hand.
#include <fmt/format.h>

#include <algorithm>

#include "checks/beside_nbdkit.hpp"
#include "checks/client.hpp"
#include "nbdcheck/status_page.hpp"

namespace nbdcheck::checks::differential_handshake {
namespace {

constexpr std::size_t most_names = 6;

// "key=value", as the client sees it.
using Told = std::vector<std::string>;

Told told(const ExportInfo& info) {
  const BlockSize block = info.block_size.value_or(BlockSize{});
  return {fmt::format("name={}", info.name),
          fmt::format("description={}", info.description.value_or("(none)")),
          fmt::format("size={}", info.size),
          fmt::format("block size={}/{}/{}", block.minimum, block.preferred, block.maximum),
          fmt::format("read-only={}", !info.can_write),
          fmt::format("flush={}", info.can_flush),
          fmt::format("rotational={}", info.rotational),
          fmt::format("trim={}", info.can_trim),
          fmt::format("zero={}", info.zero != zero_none),
          fmt::format("fast zero={}", info.can_fast_zero),
          fmt::format("FUA={}", info.fua != fua_none),
          fmt::format("multi-conn={}", info.advertises_multi_conn),
          fmt::format("cache={}", info.cache != cache_none)};
}

Told told(const ExportList& list) {
  Told lines;
  for (const Export& e : list.exports())
    lines.push_back(fmt::format("export={} | {}", e.name, e.description));
  return lines;
}

Told told(const std::vector<ListedExport>& list) {
  Told lines;
  for (const ListedExport& e : list)
    lines.push_back(fmt::format("export={} | {}", e.name, e.description));
  return lines;
}

const Told refused{"refused"};

class Handshakes {
 public:
  Handshakes(CheckRun& run, Server& server, NbdkitProcess& nbdkit)
      : run_(run), server_(server), nbdkit_(nbdkit), target_(nbdkit) {}

  void compare_all() {
    set_phase("comparing lists of exports");
    const Told ours = our_list();
    auto list = target_.list();
    if (!list && went_wrong()) return;
    compare("the list of exports", ours, list ? told(*list) : refused);
    for (const std::string& name : names(list ? *list : std::vector<ListedExport>())) {
      if (different_) return;
      set_phase("comparing handshakes");
      const Told mine = our_handshake(name);
      auto session = target_.connect(name);
      if (!session && went_wrong()) return;
      compare(fmt::format("the export '{}'", name), mine,
              session ? told((*session)->info()) : refused);
    }
  }

 private:
  Told our_list() {
    Told lines = refused;
    on_connection_thread([&] {
      auto connection = server_.connect();
      if (!connection) return;
      if (const auto list = (*connection)->list_exports()) lines = told(*list);
    });
    return lines;
  }

  Told our_handshake(const std::string& name) {
    Client client(server_);
    return client.open(name) ? told(client.info()) : refused;
  }

  bool went_wrong() {
    const auto trouble = nbdkit_.trouble();
    if (trouble) report_trouble(run_, *trouble, false);
    return trouble.has_value();
  }

  std::vector<std::string> names(const std::vector<ListedExport>& list) const {
    std::vector<std::string> all{"", run_.request().export_name};
    for (const ListedExport& e : list)
      if (all.size() < most_names) all.push_back(e.name);
    all.insert(all.end(), {"nbdcheck-no-such-export", "with space/\xc3\xa9 %s"});
    std::vector<std::string> once;
    for (std::string& name : all)
      if (std::find(once.begin(), once.end(), name) == once.end()) once.push_back(std::move(name));
    return once;
  }

  void compare(const std::string& what, const Told& ours, const Told& theirs) {
    run_.count_operations(std::max(ours.size(), theirs.size()));
    if (ours == theirs || different_) return;
    different_ = true;
    std::string words = fmt::format("{} against {} lines", ours.size(), theirs.size());
    for (std::size_t i = 0; i < std::min(ours.size(), theirs.size()); ++i)
      if (ours[i] != theirs[i]) {
        words = fmt::format("in process {}, there {}", ours[i], theirs[i]);
        break;
      }
    run_.unknown(
        fmt::format("the servers differ, and nobody knows whose doing it is: {} and {}: {}",
                    nbdkit_name(run_.request()), what, words));
  }

  CheckRun& run_;
  Server& server_;
  NbdkitProcess& nbdkit_;
  NbdkitTarget target_;
  bool different_ = false;
};

const Registration registration{{
    .id = "differential.handshake",
    .summary = "clients are told the same by the real nbdkit",
    .rules = {"differential.nbdkit-survives"},
    .not_applicable = {},
    .run =
        [](CheckRun& run) {
          beside_nbdkit(run, [&](Server& ours, NbdkitProcess& theirs) {
            Handshakes(run, ours, theirs).compare_all();
            return true;
          });
        },
    .beside_nbdkit = true,
}};

}  // namespace
}  // namespace nbdcheck::checks::differential_handshake
