// One life of the plugin in a process of its own, with arguments that the user
// did not give.  nbdkit exits when a step of it fails, so that a plugin need
// not bear being configured again; and what it does with strange values is its
// own affair, as long as it does not die of them.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "checks/check_run.hpp"
#include "checks/patience.hpp"
#include "checks/trial.hpp"
#include "nbdcheck/server.hpp"

namespace nbdcheck {

struct ConfiguredLife {
  std::vector<std::string> arguments;
  ServerOptions options;
  // Empty: ends after .config_complete.  Otherwise called when the plugin
  // serves; what it returns is LifeEnd::answer.
  std::function<std::string(Server&)> serving = {};
};

struct LifeEnd {
  TrialEnd::Kind end = TrialEnd::Kind::not_started;
  int code = 0;                        // signal or exit status
  std::string step;                    // that was last begun: ".config"
  std::optional<std::string> refusal;  // the plugin's words; "": it had none
  std::optional<std::string> answer;
  std::vector<Violation> incidents;
  // With ServerOptions::verbose: the messages of nbdkit_error and nbdkit_debug.
  std::vector<std::string> said;

  // All steps that were asked for succeeded.
  [[nodiscard]] bool accepted() const { return end == TrialEnd::Kind::finished && !refusal; }
  // The end of a process that was not the plugin's to end.  exit is allowed
  // before serving: nbdkit-plugin(3) "SHUTDOWN".
  [[nodiscard]] bool died() const;
};

LifeEnd run_life(const CheckRun& run, const ConfiguredLife& life);

// "SIGSEGV".
std::string signal_abbreviation(int signal);

// Reports the death, if it was one, and what the harness noticed; `how` tells
// the arguments: "given size=".  True: there was something.
bool report_life(CheckRun& run, const LifeEnd& end, const std::string& how);

// A parameter of the user's, as .config gets it.
struct GivenArgument {
  std::size_t index;  // in Request::arguments
  std::string key;
  std::string value;

  // All arguments, this one's value replaced.
  [[nodiscard]] std::vector<std::string> with_value(std::vector<std::string> arguments,
                                                    const std::string& other) const;
};

// Those with a key; the script of an interpreter's plugin is not one of them.
std::vector<GivenArgument> given_arguments(std::span<const std::string> arguments,
                                           const PluginFacts& plugin);
// Index of the script that is an interpreter's plugin's first argument, and the
// plugin as far as the user is concerned; none: arguments.size().
std::size_t script_argument(std::span<const std::string> arguments, const PluginFacts& plugin);
// Whether a file or directory is a copy made for this check alone, which may be
// ruined.  Never in --in-process, nor with --write-in-place.
bool is_own_copy(const CheckRun& run, const std::string& path);
// Why a check of the given parameters does not apply; "": it does.
std::string nothing_given(const Subject& subject);

// How many of them a check may make: a number, so that each run makes the same
// ones, unless the plugin is so slow to start that the time is up before.
class LifeBudget {
 public:
  explicit LifeBudget(const CheckRun& run);

  // Counts one.  False: no more.
  bool take();

 private:
  int left_;
  Patience patience_;
};

}  // namespace nbdcheck
