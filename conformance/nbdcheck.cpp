// The command.  Everything it does is in the libraries it links; here are only
// the ways in.
#include <unistd.h>

#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include "checks/check.hpp"
#include "cli/list.hpp"
#include "cli/options.hpp"
#include "cli/terminal.hpp"
#include "command/command.hpp"
#include "rules/catalogue.hpp"
#include "runner/child_main.hpp"

namespace {

using namespace nbdcheck;

int leave(const CliExit& exit) {
  std::fputs(exit.text.c_str(), exit.to_stderr ? stderr : stdout);
  return exit.code;
}

int print(const std::string& text) {
  std::fputs(text.c_str(), stdout);
  return std::fflush(stdout) == 0 ? 0 : 3;
}

int list(const Options& options) {
  return print(options.list_as_json ? list_json(options.listing, all_rules(), all_checks())
                                    : list_text(options.listing, all_rules(), all_checks()));
}

int explain_rule(const Options& options) {
  const auto text =
      explain(options.rule, all_rules(), terminal_width(), wants_colour(options.color));
  return text ? print(*text) : leave(text.error());
}

int run(const Options& options) {
  switch (options.command) {
    case Options::Command::run:
      return run_command(options);
    case Options::Command::list:
      return list(options);
    case Options::Command::explain:
      return explain_rule(options);
    case Options::Command::replay:
      return replay_command(options);
  }
  return 3;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  // A child of the runner: this same program, started again.
  if (arguments.size() == 1 && arguments[0] == "--child") child_main();
  try {
    const auto options = parse_options(arguments);
    return options ? run(*options) : leave(options.error());
  } catch (const std::exception& problem) {
    std::fprintf(stderr, "nbdcheck: %s\n", problem.what());
    return 3;
  }
}
