#include "checks/beside_nbdkit.hpp"

#include <fmt/format.h>

#include <filesystem>
#include <string_view>

#include "nbdcheck/status_page.hpp"

namespace nbdcheck {
namespace {

constexpr std::size_t shown_lines = 8;

std::vector<std::string> last_lines(std::string_view log) {
  std::vector<std::string> lines;
  while (!log.empty()) {
    const auto end = log.find('\n');
    if (end != 0) lines.emplace_back(log.substr(0, end));
    log = end == std::string_view::npos ? "" : log.substr(end + 1);
  }
  if (lines.size() > shown_lines)
    lines.erase(lines.begin(), lines.end() - static_cast<std::ptrdiff_t>(shown_lines));
  return lines;
}

}  // namespace

NbdkitProgram nbdkit_program(const Request& request) {
  return {request.nbdkit, request.nbdkit_version, ""};
}

NbdkitOptions nbdkit_options(const CheckRun& run, std::vector<std::string> arguments) {
  const Request& request = run.request();
  return {.plugin = request.plugin,
          .arguments = std::move(arguments),
          .readonly = request.readonly,
          .directory = std::filesystem::path(run.job().log_path).parent_path()};
}

std::string nbdkit_name(const Request& request) { return "nbdkit " + request.nbdkit_version; }

void report_trouble(CheckRun& run, const NbdkitTrouble& trouble, bool in_sequence) {
  if (trouble.kind != NbdkitTrouble::Kind::died && trouble.kind != NbdkitTrouble::Kind::ended)
    return run.unknown(fmt::format("{}: {}", nbdkit_name(run.request()), trouble.message));
  Violation v;
  v.rule = "differential.nbdkit-survives";
  v.message = fmt::format("The real {} died with the plugin in it: {}.", nbdkit_name(run.request()),
                          trouble.message);
  v.expected = "nbdkit goes on serving";
  v.actual = trouble.message;
  const auto lines = last_lines(trouble.log);
  if (!lines.empty()) v.details.emplace_back("what it printed last:");
  for (const std::string& line : lines) v.details.push_back("  " + line);
  in_sequence ? run.violated_in_sequence(std::move(v)) : run.violated(std::move(v));
}

std::string lost_connection(SequenceRunner& sequence, unsigned connection) {
  if (!sequence.is_open(connection)) return "";
  const auto* session = dynamic_cast<const NbdkitSession*>(&sequence.session(connection));
  return session == nullptr ? "" : session->lost();
}

void stop_nbdkit(CheckRun& run, NbdkitProcess& process) {
  if (run.found_any()) return;  // it may be gone already, and that has been told
  if (const auto stopped = process.stop(); !stopped) report_trouble(run, stopped.error(), false);
}

void in_nbdkit(CheckRun& run, std::vector<std::string> arguments,
               const std::function<void(Target&)>& body) {
  set_phase("starting the real nbdkit");
  auto nbdkit = NbdkitProcess::start(nbdkit_program(run.request()),
                                     nbdkit_options(run, std::move(arguments)));
  if (!nbdkit) return report_trouble(run, nbdkit.error(), false);
  SharedNbdkitTarget target(**nbdkit);
  body(target);
  if (const std::string lost = target.lost(); !lost.empty()) {
    if (const auto trouble = (*nbdkit)->trouble()) return report_trouble(run, *trouble, true);
    return run.unknown(
        fmt::format("a connection to {} was lost: {}", nbdkit_name(run.request()), lost));
  }
  stop_nbdkit(run, **nbdkit);
}

void beside_nbdkit(CheckRun& run,
                   const std::function<bool(Server& ours, NbdkitProcess& theirs)>& compare) {
  set_phase("starting the real nbdkit");
  auto nbdkit = NbdkitProcess::start(nbdkit_program(run.request()),
                                     nbdkit_options(run, run.job().second_arguments));
  if (!nbdkit) return report_trouble(run, nbdkit.error(), false);
  const auto server = run.serve();
  if (!server) return;
  const bool good = compare(*server, **nbdkit);
  stop_nbdkit(run, **nbdkit);
  if (good) server->stop();
}

}  // namespace nbdcheck
