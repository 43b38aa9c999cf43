// A key given twice.  That the first one counts, the last one, both (a list),
// or that it is refused: all of this is for the plugin to decide.  But it must
// have been thought of: the usual mistake frees the first value twice.
#include <fmt/format.h>

#include "checks/client.hpp"
#include "checks/configured_life.hpp"
#include "nbdcheck/status_page.hpp"

namespace nbdcheck::checks::config_repeated {
namespace {

// The whole life, because what is wrong shows in .unload.
LifeEnd live_with(CheckRun& run, std::vector<std::string> arguments) {
  ServerOptions options = run.server_options();
  options.readonly = true;
  run.count_operations(1);
  return run_life(run, {std::move(arguments), options, [&](Server& server) {
                          Client client(server);
                          if (!client.open(run.request().export_name)) return std::string("-");
                          return std::to_string(client.info().size);
                        }});
}

void repeat(CheckRun& run, const GivenArgument& argument) {
  std::vector<std::string> arguments = run.request().arguments;
  const std::string again = argument.key + "=" + argument.value;
  const auto place = arguments.begin() + static_cast<std::ptrdiff_t>(argument.index) + 1;
  arguments.insert(place, 2, again);
  const LifeEnd end = live_with(run, std::move(arguments));
  if (report_life(run, end, fmt::format("given {} three times", again))) return;
  if (!end.accepted() || !end.answer || *end.answer != "-") return;
  // Accepted, and then of no use: the same value served before.
  Violation v;
  v.rule = "config.repeated-key";
  v.message = fmt::format(
      "{} given three times was accepted, but then no client could open the export, which opens "
      "when it is given once.",
      again);
  v.expected = "an error from .config or .config_complete, or an export";
  v.actual = ".open, .get_size or a question about the export failed";
  run.violated(std::move(v));
}

const Registration registration{{
    .id = "config.repeated",
    .summary = "a key that is given more than once does no harm",
    .rules = {"config.repeated-key", "process.crash", "error.message-lifecycle"},
    .not_applicable = nothing_given,
    .run =
        [](CheckRun& run) {
          LifeBudget budget(run);
          set_phase("repeating parameters");
          const auto given = given_arguments(run.request().arguments, run.subject().plugin);
          for (const GivenArgument& argument : given)
            if (!run.found_any() && budget.take()) repeat(run, argument);
        },
}};

}  // namespace
}  // namespace nbdcheck::checks::config_repeated
