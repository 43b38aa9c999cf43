// What a whole life of the plugin takes from the process and does not give back.
// nbdkit ends with its plugin, so that no one may ever notice; but then everything
// that is found while the process lives (a value that is replaced, a plugin that
// is loaded to be asked) is lost in it.  Lives are lived one after the other in a
// copy of this process, and counted.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "checks/check_run.hpp"
#include "checks/configured_life.hpp"
#include "checks/growth.hpp"
#include "checks/language_runtime.hpp"
#include "checks/patience.hpp"
#include "checks/trial.hpp"
#include "nbdcheck/census.hpp"
#include "nbdcheck/sandbox.hpp"
#include "nbdcheck/status_page.hpp"

namespace nbdcheck::checks::lifecycle_gives_back {
namespace {

constexpr unsigned warm_up = 4;
constexpr unsigned first_lives = 4;  // of each round
constexpr unsigned first_rounds = 4;
constexpr unsigned sure_lives = 16;
constexpr unsigned sure_rounds = 8;

struct Measure {
  const char* words;
  double least;  // of each life
};
// Of a mapping at least a page; malloc gives no less than 16 bytes of use.
constexpr std::array<Measure, 3> measures{{
    {"open descriptors", 0.9},
    {"bytes allocated by malloc", 16},
    {"bytes of address space", 4096},
}};
using Sample = std::array<std::uint64_t, measures.size()>;

Sample count() {
  const MemoryUse memory = memory_use();
  return {descriptor_count(), memory.allocated, memory.mapped};
}

// How far each life goes.
enum class Depth : std::uint8_t { registered, loaded, started };
struct Lives {
  Depth depth;
  std::vector<std::string> arguments = {};
};

// In the copy.
class Repeated {
 public:
  Repeated(const CheckRun& run, const Lives& lives, const Trial& copy)
      : run_(run), lives_(lives), copy_(copy) {}

  void live() {
    for (unsigned i = 0; i < warm_up; ++i)
      if (!once()) return;
    if (garbage_) return stop("its language collects garbage");
    if (count()[1] == 0) return stop("its memory is not that of malloc");
    const auto suspicion = rounds(first_rounds, first_lives);
    if (suspicion.empty()) return;
    if (!grown(suspicion, first_lives)) return;
    const auto certainty = rounds(sure_rounds, sure_lives);
    if (certainty.empty()) return;
    if (const auto growth = grown(certainty, sure_lives))
      copy_.say(fmt::format("grows {} {:.1f}", growth->measure, growth->each));
  }

 private:
  struct Growth {
    std::size_t measure;
    double each;
  };

  void stop(std::string_view why) { copy_.say(fmt::format("stopped {}", why)); }

  bool once() {
    if (patience_.over()) return stop("starting it takes too long to be repeated"), false;
    if (lives_.depth == Depth::registered) {
      if (Plugin::load(run_.request().plugin, observer_)) return true;
      return stop("it cannot be loaded again in the same process"), false;
    }
    auto server = Server::load(run_.request().plugin, options_, observer_);
    const bool good = server && (lives_.depth == Depth::loaded ||
                                 ((*server)->configure(lives_.arguments) && (*server)->start()));
    if (!good) {
      stop("it cannot be started again in the same process");
      if (server) static_cast<void>(server->release());  // nbdkit would not unload it
      return false;
    }
    // The interpreter may go with the plugin.
    garbage_ = garbage_ || collects_garbage(run_.request().plugin);
    lives_.depth == Depth::started ? (*server)->stop() : (*server)->unload();
    return true;
  }

  std::vector<Sample> rounds(unsigned number, unsigned lives) {
    std::vector<Sample> series{count()};
    for (unsigned round = 0; round < number; ++round) {
      for (unsigned i = 0; i < lives; ++i)
        if (!once()) return {};
      series.push_back(count());
    }
    return series;
  }

  // Of several the first: a leak of malloc makes the address space grow.
  static std::optional<Growth> grown(const std::vector<Sample>& series, unsigned lives) {
    for (std::size_t i = 0; i < measures.size(); ++i) {
      std::vector<std::uint64_t> values;
      for (const Sample& sample : series) values.push_back(sample.at(i));
      if (const auto each = steady_growth(values, lives); each && *each >= measures.at(i).least)
        return Growth{i, *each};
    }
    return std::nullopt;
  }

  const CheckRun& run_;
  const Lives& lives_;
  const Trial& copy_;
  ServerOptions options_ = run_.server_options();
  NullObserver observer_;
  bool garbage_ = false;
  Patience patience_{
      std::chrono::duration<double>(run_.request().effort == Effort::quick ? 0.5 : 2) *
      time_scale()};
};

struct Left {
  std::string stopped;      // why nothing is known
  std::size_t measure = 0;  // of what is left
  double each = 0;          // 0: nothing
};

Left left_by(CheckRun& run, const Lives& lives) {
  constexpr std::chrono::milliseconds limit{8000};
  const TrialEnd end = run_trial(
      [&](const Trial& copy) {
        Repeated(run, lives, copy).live();
        copy.finish();
      },
      limit * static_cast<int>(time_scale()));
  run.count_operations(1);
  Left left;
  // Whether it can be loaded again is a rule of its own, lifecycle.reload.
  if (end.kind != TrialEnd::Kind::finished)
    left.stopped = "living again in the same process, " + end.words();
  for (const std::string& line : end.lines) {
    if (line.starts_with("stopped ")) left.stopped = line.substr(8);
    if (!line.starts_with("grows ") || line.size() < 9) continue;
    left.measure = static_cast<std::size_t>(line[6] - '0') % measures.size();
    left.each = std::strtod(line.c_str() + 8, nullptr);
  }
  return left;
}

// What is left beyond what a shorter life leaves: what plugin_init takes, as
// bindings of Rust do, there is no callback to give back in.
bool more_than(const Left& before, const Left& left) {
  if (left.each <= 0) return false;
  const double known = before.measure == left.measure ? before.each : 0;
  return left.each - known >= std::max(measures.at(left.measure).least, known / 4);
}

void report(CheckRun& run, const char* rule, const std::string& of, const Left& left) {
  const char* words = measures.at(left.measure).words;
  Violation v;
  v.rule = rule;
  v.message = fmt::format("{} leaves {:.0f} {} behind, every time.", of, left.each, words);
  v.expected = ".cleanup and .unload give back what the callbacks before took";
  v.actual = fmt::format("{:.0f} more {} after {} times", left.each * sure_lives * sure_rounds,
                         words, sure_lives * sure_rounds);
  run.violated(std::move(v));
}

// A value that is replaced is no longer anyone's.  What is kept of a list is freed
// in .unload, so that the first of it is no more lost than the last.
void repeat_keys(CheckRun& run, const Left& once) {
  const auto& arguments = run.request().arguments;
  LifeBudget budget(run);
  for (const GivenArgument& argument : given_arguments(arguments, run.subject().plugin)) {
    if (run.found_any() || !budget.take()) return;
    set_phase("repeating parameters of a plugin that is started again and again");
    std::vector<std::string> more = arguments;
    const std::string again = argument.key + "=" + argument.value;
    more.insert(more.begin() + static_cast<std::ptrdiff_t>(argument.index) + 1, 2, again);
    const Left left = left_by(run, {Depth::started, std::move(more)});
    if (more_than(once, left))
      report(run, "config.repeated-key", fmt::format("{} that is given three times", again), left);
  }
}

void run_check(CheckRun& run) {
  if (run.job().in_process) return run.unknown("needs a process of its own");
  set_phase("loading and unloading the plugin again and again");
  const Left registered = left_by(run, {Depth::registered});
  if (!registered.stopped.empty()) return run.not_applicable(registered.stopped);
  const Left loaded = left_by(run, {Depth::loaded});
  if (!loaded.stopped.empty()) return run.not_applicable(loaded.stopped);
  if (more_than(registered, loaded))
    return report(run, "lifecycle.gives-back", "A plugin that is loaded and unloaded", loaded);
  set_phase("starting and stopping the plugin again and again");
  const Left started = left_by(run, {Depth::started, run.request().arguments});
  if (!started.stopped.empty()) return run.not_applicable(started.stopped);
  if (more_than(loaded, started))
    return report(run, "lifecycle.gives-back", "A plugin that is started and stopped", started);
  repeat_keys(run, started);
}

const Registration registration{{
    .id = "lifecycle.gives-back",
    .summary = "loading, starting and stopping the plugin leaves nothing in the process",
    .rules = {"lifecycle.gives-back", "config.repeated-key"},
    .not_applicable = {},
    .run = run_check,
}};

}  // namespace
}  // namespace nbdcheck::checks::lifecycle_gives_back
