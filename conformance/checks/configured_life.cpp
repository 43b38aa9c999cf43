#include "checks/configured_life.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <utility>

#include "nbdcheck/sandbox.hpp"

namespace nbdcheck {
namespace {

constexpr std::string_view tidying = "tidying";

// In the copy: says every step before it is taken, so that it is known where
// the copy died.
class Living {
 public:
  Living(const ConfiguredLife& life, const std::string& plugin, const Trial& copy)
      : life_(life), plugin_(plugin), copy_(copy) {}

  void live() {
    if (life_.options.verbose) incidents_.keep_messages();
    step("loading");
    auto loaded = Server::load(plugin_, life_.options, incidents_);
    if (!loaded) return refused(loaded.error().message);
    // Whatever becomes of it: it is never destroyed, the process just ends.
    Server& server = *loaded->release();
    if (!configure(server) || !life_.serving) return tidy(server);
    if (!start(server)) return tidy(server);
    step("serving");
    tell("answer", life_.serving(server));
    step("stopping");
    server.stop();
    tell_incidents();
  }

 private:
  void step(std::string_view name) { tell("step", std::string(name)); }
  void tell(std::string_view word, const std::string& text) {
    copy_.say(fmt::format("{} {}", word, text));
  }
  void refused(const std::string& words) { tell("refused", words); }

  template <typename Result>
  bool done(const Result& result) {
    if (result.has_value()) return true;
    refused(incidents_.last_error().empty() && !result.error().plugin_said_why
                ? std::string()
                : incidents_.last_error());
    return false;
  }

  bool configure(Server& server) {
    step(".config");
    if (!done(server.config(life_.arguments))) return false;
    step(".config_complete");
    return done(server.config_complete());
  }

  bool start(Server& server) {
    step(".thread_model");
    if (!done(server.resolve_thread_model())) return false;
    step(".get_ready");
    if (!done(server.get_ready())) return false;
    step(".after_fork");
    return done(server.after_fork());
  }

  // Not what nbdkit does, which leaves it to the system; but some plugins make
  // directories when they are loaded.  No one minds how this ends.
  void tidy(Server& server) {
    tell_incidents();
    step(tidying);
    if (const auto unload = server.plugin().callbacks().unload; unload != nullptr) unload();
  }

  void tell_incidents() {
    for (const Violation& violation : incidents_.take())
      tell("incident", violation.rule + " " + violation.message);
    for (const std::string& message : incidents_.messages()) tell("said", message);
  }

  const ConfiguredLife& life_;
  const std::string& plugin_;
  const Trial& copy_;
  IncidentCollector incidents_;
};

void parse(std::string_view line, LifeEnd& end) {
  const auto space = line.find(' ');
  if (space == std::string_view::npos) return;
  const std::string_view word = line.substr(0, space);
  const std::string rest(line.substr(space + 1));
  if (word == "step") end.step = rest;
  if (word == "refused") end.refusal = rest;
  if (word == "answer") end.answer = rest;
  if (word == "said") end.said.push_back(rest);
  const auto second = rest.find(' ');
  if (word == "incident" && second != std::string::npos) {
    Violation violation;
    violation.rule = rest.substr(0, second);
    violation.message = rest.substr(second + 1);
    end.incidents.push_back(std::move(violation));
  }
}

}  // namespace

LifeEnd run_life(const CheckRun& run, const ConfiguredLife& life) {
  constexpr std::chrono::milliseconds limit{4000};
  const TrialEnd trial = run_trial(
      [&](const Trial& copy) {
        Living(life, run.request().plugin, copy).live();
        copy.finish();
      },
      limit);
  LifeEnd end;
  end.end = trial.kind;
  end.code = trial.kind == TrialEnd::Kind::killed ? trial.signal : trial.status;
  for (const std::string& line : trial.lines) parse(line, end);
  if (end.step == tidying) end.end = TrialEnd::Kind::finished;
  return end;
}

std::string signal_abbreviation(int signal) {
  const char* word = ::sigabbrev_np(signal);
  return word != nullptr ? fmt::format("SIG{}", word) : fmt::format("signal {}", signal);
}

bool LifeEnd::died() const {
  if (end == TrialEnd::Kind::killed) return true;
  return end == TrialEnd::Kind::exited && (step == "serving" || step == "stopping");
}

bool report_life(CheckRun& run, const LifeEnd& end, const std::string& how) {
  for (const Violation& incident : end.incidents) {
    Violation v = incident;
    v.message += fmt::format(" ({})", how);
    run.violated(std::move(v));
  }
  if (!end.died()) return !end.incidents.empty();
  Violation v;
  const bool signal = end.end == TrialEnd::Kind::killed;
  v.rule = signal ? "process.crash" : "process.exit";
  const std::string where =
      end.step.starts_with('.') ? fmt::format("in {}", end.step) : "while " + end.step;
  v.message = signal
                  ? fmt::format("The plugin was killed by {} {}, {}.",
                                signal_abbreviation(end.code), where, how)
                  : fmt::format("The process ended with status {} {}, {}.", end.code, where, how);
  v.expected = "nbdkit_error and -1, or that it is accepted";
  v.actual = signal ? signal_abbreviation(end.code) : fmt::format("exit({})", end.code);
  run.violated(std::move(v));
  return true;
}

std::vector<std::string> GivenArgument::with_value(std::vector<std::string> arguments,
                                                   const std::string& other) const {
  arguments.at(index) = key + "=" + other;
  return arguments;
}

bool is_own_copy(const CheckRun& run, const std::string& path) {
  const char* temporary = std::getenv("TMPDIR");
  if (temporary == nullptr || run.job().in_process) return false;
  // Beside the directory for temporary files, which the plugin may empty.
  return path.starts_with(std::string(temporary) + ".own/");
}

std::size_t script_argument(std::span<const std::string> arguments, const PluginFacts& plugin) {
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const Parameter parameter = parse_parameter(arguments[i]);
    if (parameter.key == "script") return i;
    if (!parameter.bare) continue;
    if (plugin.magic_config_key == "script" || (plugin.magic_config_key.empty() && i == 0))
      return i;
  }
  return arguments.size();
}

std::string nothing_given(const Subject& subject) {
  if (!subject.has("config")) return "no .config";
  return given_arguments(subject.arguments, subject.plugin).empty() ? "no key=value argument" : "";
}

std::vector<GivenArgument> given_arguments(std::span<const std::string> arguments,
                                           const PluginFacts& plugin) {
  std::vector<GivenArgument> given;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    Parameter parameter = parse_parameter(arguments[i]);
    if (parameter.bare) {
      if (plugin.magic_config_key.empty() || plugin.magic_config_key == "script") continue;
      parameter.key = plugin.magic_config_key;
    }
    if (parameter.key != "script")
      given.push_back({i, std::move(parameter.key), std::move(parameter.value)});
  }
  return given;
}

namespace {

struct Allowance {
  int lives;
  std::chrono::milliseconds time;
};

Allowance allowance(Effort effort) {
  switch (effort) {
    case Effort::quick:
      return {10, std::chrono::milliseconds(400)};
    case Effort::standard:
      return {60, std::chrono::milliseconds(2000)};
    case Effort::thorough:
      return {1000, std::chrono::milliseconds(20000)};
  }
  return {};
}

}  // namespace

LifeBudget::LifeBudget(const CheckRun& run)
    : left_(allowance(run.request().effort).lives),
      patience_(allowance(run.request().effort).time * time_scale()) {}

bool LifeBudget::take() {
  if (left_ == 0) return false;
  --left_;
  if (!patience_.over()) return true;
  left_ = 0;
  return false;
}

}  // namespace nbdcheck
