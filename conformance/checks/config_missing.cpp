// The same plugin without the parameters: all of them, and each in turn.
#include <fmt/format.h>

#include "checks/client.hpp"
#include "checks/configured_life.hpp"
#include "nbdcheck/status_page.hpp"

namespace nbdcheck::checks::config_missing {
namespace {

// "open" or why not, and a read, for plugins that go wrong only then.
std::string visit(Server& server, const CheckRun& run) {
  Client client(server);
  if (!client.open(run.request().export_name))
    return fmt::format(".{}: {}", name(client.failure().where), client.failure().message);
  const BlockSize block = client.info().block_size.value_or(BlockSize{1, 1, 1});
  std::vector<std::byte> data(block.minimum);
  if (client.info().size >= data.size()) client.read(data, 0);
  return "open";
}

LifeEnd start_with(CheckRun& run, std::vector<std::string> arguments) {
  ServerOptions options = run.server_options();
  options.readonly = true;  // what it serves now is not what the user lent us
  run.count_operations(1);
  return run_life(
      run, {std::move(arguments), options, [&](Server& server) { return visit(server, run); }});
}

void without_any(CheckRun& run) {
  const std::vector<std::string>& all = run.request().arguments;
  std::vector<std::string> arguments;
  // What an interpreter does without a script is no fault of the script.
  if (const auto script = script_argument(all, run.subject().plugin); script < all.size())
    arguments.push_back(all[script]);
  const LifeEnd end = start_with(run, std::move(arguments));
  if (report_life(run, end, "without any parameter")) return;
  if (!end.accepted() || !end.answer || *end.answer == "open") return;
  Violation v;
  v.rule = "config.required-key";
  v.message = fmt::format(
      "Without parameters .config_complete and .get_ready succeeded, and nbdkit goes on to serve; "
      "but no client can open the export.");
  v.expected = "nbdkit_error and -1 from .config_complete, or an export";
  v.actual = *end.answer;
  run.violated(std::move(v));
}

std::string not_applicable(const Subject& subject) {
  if (!subject.has("config")) return "no .config";
  const bool script = script_argument(subject.arguments, subject.plugin) < subject.arguments.size();
  return subject.arguments.size() < (script ? 2 : 1) ? "no argument to leave out" : "";
}

const Registration registration{{
    .id = "config.missing",
    .summary = "a parameter that is missing is noticed before the first client",
    .rules = {"config.required-key", "process.crash", "process.exit", "error.message-lifecycle"},
    .not_applicable = not_applicable,
    .run =
        [](CheckRun& run) {
          LifeBudget budget(run);
          set_phase("starting without parameters");
          if (budget.take()) without_any(run);
          const auto given = given_arguments(run.request().arguments, run.subject().plugin);
          if (given.size() < 2) return;
          for (const GivenArgument& argument : given) {
            if (run.found_any() || !budget.take()) return;
            std::vector<std::string> others = run.request().arguments;
            others.erase(others.begin() + static_cast<std::ptrdiff_t>(argument.index));
            report_life(run, start_with(run, std::move(others)),
                        fmt::format("without {}", argument.key));
          }
        },
}};

}  // namespace
}  // namespace nbdcheck::checks::config_missing
