// The command.  Everything it does is in the libraries it links; here are only
// the ways in.
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <string>
#include <utility>
#include <vector>

#include "checks/check.hpp"
#include "cli/list.hpp"
#include "cli/options.hpp"
#include "cli/terminal.hpp"
#include "command/command.hpp"
#include "rules/catalogue.hpp"
#include "runner/budget.hpp"
#include "runner/child_main.hpp"

namespace {

using namespace nbdcheck;

// Without 0, 1 or 2 the next file opened would take its place, and what is
// meant for the user would go into it.  What stands in for stdin or stdout
// fails when used, so that a verdict nobody can read is noticed.
void fill_standard_descriptors() {
  for (const auto& [fd, mode] : {std::pair{0, O_WRONLY}, {1, O_RDONLY}, {2, O_RDWR}})
    if (::fcntl(fd, F_GETFD) < 0 && ::open("/dev/null", mode) != fd) std::_Exit(3);
}

// These are errors of the write that met them, not reasons to die and leave
// processes and files behind.
void ignore_write_signals() {
  for (const int signal : {SIGPIPE, SIGXFSZ}) ::signal(signal, SIG_IGN);
}

// A verdict nobody could read is no verdict.
int delivered(int code) {
  errno = 0;
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return code;
  std::fprintf(stderr, "nbdcheck: cannot write to standard output%s%s\n", errno != 0 ? ": " : "",
               errno != 0 ? std::strerror(errno) : "");
  return 3;
}

int leave(const CliExit& exit) {
  std::fputs(exit.text.c_str(), exit.to_stderr ? stderr : stdout);
  return exit.code;
}

int print(const std::string& text) {
  std::fputs(text.c_str(), stdout);
  return 0;
}

int list(const Options& options) {
  if (!options.list_as_json) return print(list_text(options.listing, all_rules(), all_checks()));
  std::vector<const Check*> checks;
  for (const Check& check : all_checks()) checks.push_back(&check);
  const auto limit = [&](const Check& check) { return longest(check, checks, options.profile); };
  return print(list_json(options.listing, all_rules(), all_checks(), limit));
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
    case Options::Command::judge:
      return judge_command(options);
  }
  return 3;
}

}  // namespace

int main(int argc, char** argv) {
  fill_standard_descriptors();
  ignore_write_signals();
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  // A child of the runner: this same program, started again.
  if (arguments.size() == 1 && arguments[0] == "--child") child_main();
  try {
    const auto options = parse_options(arguments);
    return delivered(options ? run(*options) : leave(options.error()));
  } catch (const std::exception& problem) {
    std::fprintf(stderr, "nbdcheck: %s\n", problem.what());
    return 3;
  }
}
