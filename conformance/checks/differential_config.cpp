// Good and bad configurations: refused by the plugin in the real nbdkit where it
// refuses them in process, and nowhere else.
#include <fmt/format.h>

#include "checks/beside_nbdkit.hpp"
#include "checks/configured_life.hpp"
#include "nbdcheck/status_page.hpp"

namespace nbdcheck::checks::differential_config {
namespace {

struct Configuration {
  std::string words;
  // For process and nbdkit, which have files of their own.
  std::vector<std::string> ours;
  std::vector<std::string> theirs;
};

// Arguments that the same change was made to.
template <typename Change>
Configuration changed(const CheckRun& run, std::string words, Change&& change) {
  Configuration made{std::move(words), run.request().arguments, run.job().second_arguments};
  change(made.ours);
  change(made.theirs);
  return made;
}

using Arguments = std::vector<std::string>;
constexpr std::size_t most_values = 8;

std::vector<Configuration> configurations(const CheckRun& run) {
  std::vector<Configuration> all;
  all.push_back(changed(run, "as given", [](Arguments&) {}));
  all.push_back(changed(run, "with nbdcheck-unknown=1",
                        [](Arguments& a) { a.emplace_back("nbdcheck-unknown=1"); }));
  all.push_back(changed(run, "with a word that is no key=value",
                        [](Arguments& a) { a.emplace_back("=nbdcheck"); }));
  const PluginFacts& plugin = run.subject().plugin;
  const std::size_t script = script_argument(run.request().arguments, plugin);
  const auto given = given_arguments(run.request().arguments, plugin);
  for (const GivenArgument& argument : given) {
    if (argument.index == script) continue;
    all.push_back(changed(run, fmt::format("without {}", argument.key), [&](Arguments& a) {
      a.erase(a.begin() + static_cast<std::ptrdiff_t>(argument.index));
    }));
    for (const char* const value : {"", "nonsense", "-1", "1 "}) {
      if (all.size() >= 3 + most_values) break;
      all.push_back(changed(run, fmt::format("with {}={}", argument.key, value),
                            [&](Arguments& a) { a = argument.with_value(a, value); }));
    }
    if (all.size() >= 3 + most_values) break;
  }
  return all;
}

std::string outcome(const LifeEnd& end) {
  if (end.accepted()) return "accepted";
  if (end.refusal) return "refused";
  return end.end == TrialEnd::Kind::exited ? "refused" : "";
}

// "" where there is nothing to compare; `died`: of what.
std::string outcome(CheckRun& run, const Configuration& configuration,
                    std::optional<NbdkitTrouble>& died) {
  auto nbdkit = NbdkitProcess::start(nbdkit_program(run.request()),
                                     nbdkit_options(run, configuration.theirs));
  if (nbdkit) {
    const auto stopped = (*nbdkit)->stop();
    if (stopped || stopped.error().kind == NbdkitTrouble::Kind::hung) return "accepted";
    died = stopped.error();
    // .after_fork is called when clients may connect already.
    return died->kind == NbdkitTrouble::Kind::ended ? "refused" : "";
  }
  if (nbdkit.error().kind == NbdkitTrouble::Kind::refused) return "refused";
  died = nbdkit.error();
  return "";
}

void compare(CheckRun& run) {
  struct Case {
    Configuration configuration;
    std::string ours;
  };
  // First those that fork, while there are no other threads here.
  std::vector<Case> cases;
  LifeBudget budget(run);
  for (Configuration& configuration : configurations(run)) {
    if (!budget.take()) break;
    ServerOptions options = run.server_options();
    set_phase("starting with other parameters, in process");
    const LifeEnd end =
        run_life(run, {configuration.ours, options, [](Server&) { return std::string("serves"); }});
    cases.push_back({std::move(configuration), outcome(end)});
  }
  for (const Case& one : cases) {
    if (run.found_any()) return;
    set_phase("starting the real nbdkit with other parameters");
    std::optional<NbdkitTrouble> died;
    const std::string theirs = outcome(run, one.configuration, died);
    run.count_operations(1);
    // Where it dies in process, too, other checks tell.
    if (theirs.empty() && !one.ours.empty() && died) return report_trouble(run, *died, false);
    if (theirs.empty() || one.ours.empty() || theirs == one.ours) continue;
    return run.unknown(fmt::format(
        "the servers differ, and nobody knows whose doing it is: {}: {} in process, {} in "
        "{}",
        one.configuration.words, one.ours, theirs, nbdkit_name(run.request())));
  }
}

const Registration registration{{
    .id = "differential.config",
    .summary = "the real nbdkit starts with the same parameters, and refuses the same",
    .rules = {"differential.nbdkit-survives"},
    .not_applicable =
        [](const Subject& subject) {
          return subject.has("config") ? std::string() : std::string("no .config");
        },
    .run = compare,
    .beside_nbdkit = true,
}};

}  // namespace
}  // namespace nbdcheck::checks::differential_config
