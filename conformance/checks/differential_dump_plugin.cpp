// nbdkit --dump-plugin, field by field, against ours.
#include <fmt/format.h>

#include <map>
#include <string_view>

#include "checks/beside_nbdkit.hpp"
#include "nbdcheck/status_page.hpp"

namespace nbdcheck::checks::differential_dump_plugin {
namespace {

std::map<std::string, std::string> fields(std::string_view text) {
  std::map<std::string, std::string> all;
  while (!text.empty()) {
    const auto end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    const auto equals = line.find('=');
    if (equals != std::string_view::npos)
      all.emplace(line.substr(0, equals), line.substr(equals + 1));
    text = end == std::string_view::npos ? "" : text.substr(end + 1);
  }
  return all;
}

// Of another version nbdkit has fields that ours does not know, and the other
// way round.
bool same_generation(const Request& request) {
  return request.nbdkit_version.starts_with("1.32.") || request.nbdkit_version.starts_with("1.33.");
}

std::string difference(CheckRun& run, const std::string& ours, const std::string& theirs) {
  auto mine = fields(ours);
  auto other = fields(theirs);
  mine.erase("path");  // the copy of a script, a symbolic link
  other.erase("path");
  run.count_operations(mine.size());
  for (const auto& [key, value] : mine) {
    const auto found = other.find(key);
    if (found == other.end()) {
      if (same_generation(run.request())) return fmt::format("{}={} is missing there", key, value);
    } else if (found->second != value) {
      return fmt::format("{}: {} in process, {} there", key, value, found->second);
    }
  }
  for (const auto& [key, value] : other)
    if (!mine.contains(key) && same_generation(run.request()))
      return fmt::format("{}={} is missing in process", key, value);
  return "";
}

const Registration registration{{
    .id = "differential.dump-plugin",
    .summary = "nbdkit --dump-plugin says the same, field by field",
    .rules = {"differential.nbdkit-survives"},
    .not_applicable = {},
    .run =
        [](CheckRun& run) {
          set_phase("dumping the plugin with the real nbdkit");
          const auto theirs = NbdkitProcess::dump_plugin(
              nbdkit_program(run.request()), nbdkit_options(run, run.job().second_arguments));
          if (!theirs && theirs.error().kind != NbdkitTrouble::Kind::refused)
            return report_trouble(run, theirs.error(), false);
          const auto server = run.load(run.server_options());
          if (!server) return;
          set_phase("dumping the plugin in process");
          const auto ours = server->dump_plugin(run.request().arguments);
          std::string words;
          if (ours && theirs)
            words = difference(run, *ours, *theirs);
          else if (ours)
            words = "it succeeds in process, there " + theirs.error().message;
          else if (theirs)
            words = "it fails in process: " + ours.error().message;
          if (!words.empty())
            run.unknown(
                fmt::format("the servers differ, and nobody knows whose doing it is: {} "
                            "--dump-plugin: {}",
                            nbdkit_name(run.request()), words));
          server->unload();
        },
    .beside_nbdkit = true,
}};

}  // namespace
}  // namespace nbdcheck::checks::differential_dump_plugin
