// The life of a daemon.  nbdkit without -f, and with --run, forks between
// .get_ready and .after_fork, and a daemon goes to "/"; the first process leaves
// by exit().  The same visit of a client is tried with and without that.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <optional>

#include "backing/backing_files.hpp"
#include "checks/check_run.hpp"
#include "checks/client.hpp"
#include "checks/every_request.hpp"
#include "checks/language_runtime.hpp"
#include "checks/sanitized.hpp"
#include "checks/thread_stacks.hpp"
#include "checks/trial.hpp"
#include "nbdcheck/census.hpp"
#include "nbdcheck/status_page.hpp"

namespace nbdcheck::checks::lifecycle_fork {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

struct Way {
  bool fork = false;
  bool to_root = false;
  std::string directory;  // where it is started; "": here
  std::vector<std::string> arguments;
};

constexpr std::string_view begins = "> ";   // a step is about to be taken
constexpr std::string_view runtime = "# ";  // threads there were before .load
constexpr std::string_view lost = "~ ";     // a thread that the fork is about to lose

// Notices threads that are there as soon as the plugin is loaded.
class Witness final : public Observer {
 public:
  explicit Witness(const Trial& trial) : trial_(trial) {}
  void on_call(Callback callback) override {
    if (callback == Callback::plugin_init && threads().size() > 1) trial_.say(runtime);
  }
  void on_error(Callback, std::string_view message) override { last_error_ = message; }
  [[nodiscard]] const std::string& last_error() const { return last_error_; }

 private:
  const Trial& trial_;
  std::string last_error_;
};

// In the copy.  What it says is the same for every way, if all is well.
class Visit {
 public:
  Visit(const CheckRun& run, const Trial& trial) : run_(run), trial_(trial), witness_(trial) {}

  void run(const Way& way) {
    std::error_code ignored;
    fs::path plugin = run_.request().plugin;
    if (plugin.has_parent_path()) plugin = fs::absolute(plugin, ignored);
    if (!way.directory.empty()) fs::current_path(way.directory, ignored);
    step("dlopen and .load");
    ServerOptions options;
    options.readonly = run_.request().readonly;
    options.redirect_stdio = true;
    auto server = Server::load(plugin.string(), options, witness_);
    if (!server) return failed(server.error().message);
    step("configuring");
    if (auto ok = (*server)->configure(way.arguments); !ok) return failed(ok.error().message);
    step(".get_ready");
    if (auto ok = (*server)->get_ready(); !ok) return failed(ok.error().message);
    if (way.fork) {
      const CodeOfPlugin code = CodeOfPlugin::of((*server)->plugin().facts().path);
      for (const std::string& thread : describe_threads(code))
        trial_.say(std::string(lost) + thread);
      trial_.go_into_background();
    }
    if (way.to_root) fs::current_path("/", ignored);
    step(".after_fork");
    if (auto ok = (*server)->after_fork(); !ok) return failed(ok.error().message);
    if (!be_client(**server)) return;
    step(".cleanup and .unload");
    (*server)->stop();
    trial_.finish();
  }

 private:
  void step(const std::string& what) {
    step_ = what;
    trial_.say(std::string(begins) + what);
  }
  void failed(const std::string& why) {
    trial_.say(step_ + ": failed|" + why);
    trial_.finish();
  }

  bool be_client(Server& server) {
    step("opening the export");
    Client client(server);
    if (!client.open(run_.request().export_name)) {
      failed(client.failure().message);
      return false;
    }
    for (const Place& place : sample_places(run_.subject())) {
      for (const RequestKind& kind : every_request(run_.subject())) {
        step(fmt::format(".{}(count={}, offset={})", kind.name, place.count, place.offset));
        Reply reply;
        client.run([&](Connection& connection) { reply = kind.send(connection, place); });
        trial_.say(step_ + (reply.ok() ? ": ok" : ": failed|" + witness_.last_error()));
      }
    }
    step(".close");
    client.close();
    return true;
  }

  const CheckRun& run_;
  const Trial& trial_;
  Witness witness_;
  std::string step_;
};

// The part of a line that does not depend on luck.
std::string_view essence(std::string_view line) { return line.substr(0, line.find('|')); }

class Daemon {
 public:
  explicit Daemon(CheckRun& run) : run_(run) {}

  void run() {
    const Way plain{false, false, "", run_.request().arguments};
    set_phase("serving without a fork, for comparison");
    const auto begin = Clock::now();
    const TrialEnd known = attempt(plain, milliseconds(10000));
    if (!usable(known)) {
      run_.unknown("the same without a fork " + (known.kind == TrialEnd::Kind::finished
                                                     ? "fails: " + known.lines.back()
                                                     : "fails: " + known.words()));
      return;
    }
    has_runtime_ =
        std::ranges::any_of(known.lines, [](const std::string& line) { return line == runtime; });
    // A runtime that lost its threads usually hangs, which is worth no long wait.
    const auto took = std::chrono::duration_cast<milliseconds>(Clock::now() - begin);
    limit_ = std::max(milliseconds(has_runtime_ ? 1500 : 4000), 10 * took);
    Way background = plain;
    background.fork = background.to_root = true;
    set_phase("serving in the background");
    if (runtime_within(run_.subject().plugin.path) == LanguageRuntime::go)
      return runtime_of_go(background, known);
    if (const auto fault = differs(background, plain, known)) {
      Way here = background;
      here.to_root = false;
      // Does the directory alone make the difference?  It is for names of files
      // that fail, not for what hangs or dies.
      if (!has_runtime_ && fault->failed && !differs(here, plain, known)) {
        // Two ways that fail now and then look like this one time in many.
        if (differs(background, here, known)) report_paths(*fault, background);
      } else {
        report_fork(*fault);
      }
      return;
    }
    relative_paths(plain);
  }

 private:
  struct Fault {
    std::string where;  // the step
    std::string what;
    bool failed = false;  // with an error, and went on
  };

  TrialEnd attempt(const Way& way, milliseconds limit) {
    run_.count_operations(1);
    TrialEnd end = run_trial([&](const Trial& trial) { Visit(run_, trial).run(way); }, limit);
    take_threads(way, end);
    return end;
  }

  // What was said of threads differs from one time to the next.
  void take_threads(const Way& way, TrialEnd& end) {
    std::vector<std::string> seen;
    std::erase_if(end.lines, [&](const std::string& line) {
      if (line.starts_with(lost)) seen.push_back(line.substr(lost.size()));
      return line.starts_with(lost);
    });
    if (way.fork) lost_ = std::move(seen);
  }

  // Came to its end, with the export opened and closed.
  static bool usable(const TrialEnd& end) {
    return end.kind == TrialEnd::Kind::finished && !end.lines.empty() &&
           end.lines.back() == std::string(begins) + ".cleanup and .unload";
  }

  // What `way` does otherwise than `known`, time after time.
  std::optional<Fault> differs(const Way& way, const Way& control, const TrialEnd& known) {
    const auto fault = compare(attempt(way, limit_), known);
    if (!fault) return std::nullopt;
    // Plugins may fail now and then for reasons of their own.
    if (compare(attempt(control, limit_), known)) return std::nullopt;
    // A runtime that lost its threads gets away with it as often as not.
    if (has_runtime_) return fault;
    // A disk that others keep busy can take seconds over a sync: more patience
    // before anybody is blamed.
    return compare(attempt(way, 3 * limit_), known) ? fault : std::nullopt;
  }

  static std::optional<Fault> compare(const TrialEnd& end, const TrialEnd& known) {
    std::string step;
    for (std::size_t i = 0; i < std::max(end.lines.size(), known.lines.size()); ++i) {
      const bool here = i < end.lines.size();
      if (here && end.lines[i].starts_with(begins)) step = end.lines[i].substr(begins.size());
      if (here && i < known.lines.size() && essence(end.lines[i]) == essence(known.lines[i]))
        continue;
      if (here) return Fault{step, end.lines[i].substr(end.lines[i].find('|') + 1), true};
      return Fault{step, end.words()};
    }
    if (end.kind != TrialEnd::Kind::finished) return Fault{step, end.words()};
    if (end.first_hung || end.first_signal != 0)
      return Fault{"exit() in the process that forked", end.words()};
    return std::nullopt;
  }

  void report_fork(const Fault& fault) {
    Violation v;
    v.rule = has_runtime_ ? "lifecycle.runtime-fork" : "lifecycle.fork";
    v.message = fmt::format(
        "With a fork between .get_ready and .after_fork, as nbdkit does it without -f and with "
        "--run, it went wrong at {}; without the fork all is well.{}",
        fault.where,
        has_runtime_ ? " Threads that the plugin's runtime starts while it is loaded do not "
                       "survive the fork; use -f."
                     : "");
    v.expected = "the same as without the fork";
    v.actual = fault.what;
    if (!lost_.empty()) v.details.emplace_back("lost at the fork; start them in .after_fork:");
    for (const std::string& thread : lost_) v.details.push_back("  " + thread);
    run_.violated(std::move(v));
  }

  // A Go program without its threads may serve or hang: it is told what it lacks
  // in any case, and how often that was seen to matter.
  void runtime_of_go(const Way& background, const TrialEnd& known) {
    const Effort effort = run_.request().effort;
    const unsigned most = effort == Effort::quick ? 3 : effort == Effort::standard ? 8 : 40;
    unsigned tries = 0;
    unsigned wrong = 0;
    std::optional<Fault> first;
    std::vector<std::string> lost_first;
    // One that hangs costs a while.
    while (tries < most && wrong < (effort == Effort::quick ? 1U : 3U)) {
      const auto fault = compare(attempt(background, limit_), known);
      ++tries;
      if (lost_first.empty()) lost_first = lost_;
      wrong += fault ? 1 : 0;
      if (fault && !first) first = fault;
    }
    if (lost_first.empty()) return;
    Violation v;
    v.rule = "lifecycle.runtime-fork";
    v.message = fmt::format(
        "nbdkit forks between .get_ready and .after_fork, without -f and with --run, and the "
        "server then has 1 of {} threads: those that Go's runtime has started are lost. {}",
        lost_first.size() + 1,
        first ? fmt::format("It went wrong in {} of {} tries, first at {}; without the fork all is "
                            "well.",
                            wrong, tries, first->where)
              : fmt::format("It went well in {} tries, by luck.", tries));
    v.expected = "the plugin is served by nbdkit -f; goroutines are started in .after_fork";
    v.actual = first ? first->what : fmt::format("{} threads lost", lost_first.size());
    v.details.emplace_back("lost at the fork:");
    for (const std::string& thread : lost_first) v.details.push_back("  " + thread);
    run_.violated(std::move(v));
  }

  void report_paths(const Fault& fault, const Way& way) {
    Violation v;
    v.rule = "config.relative-paths";
    v.message = fmt::format(
        "With the working directory \"/\" from .after_fork on, where nbdkit goes when it serves in "
        "the background, it went wrong at {}.",
        fault.where);
    v.expected = "names are made absolute, or files opened, before .after_fork";
    v.actual = fault.what;
    for (const std::string& argument : way.arguments) v.details.push_back("argument: " + argument);
    run_.violated(std::move(v));
  }

  // The arguments that name data are absolute here; what if they are not?
  void relative_paths(const Way& plain) {
    Way start = plain;
    bool first = true;
    for (std::string& argument : start.arguments) {
      const BackingValue value = classify_argument(
          argument, {run_.subject().plugin.magic_config_key, run_.request().backing}, first);
      first = false;
      const bool data = value.kind == BackingKind::image || value.kind == BackingKind::directory;
      const fs::path path = value.path;
      if (!data || !path.is_absolute()) continue;
      if (start.directory.empty()) start.directory = path.parent_path().string();
      argument.resize(argument.size() - value.path.size());
      argument += path.lexically_relative(start.directory).string();
    }
    if (start.directory.empty()) return;
    set_phase("serving files that are named by relative paths");
    const TrialEnd known = attempt(start, limit_);
    if (!usable(known)) return;  // it takes no relative paths at all, and says so
    Way background = start;
    background.fork = background.to_root = true;
    if (const auto fault = differs(background, start, known)) report_paths(*fault, background);
  }

  CheckRun& run_;
  milliseconds limit_{4000};
  bool has_runtime_ = false;
  std::vector<std::string> lost_;  // threads, at the last fork
};

const Registration registration{{
    .id = "lifecycle.fork",
    .summary = "serving in the background: a fork before .after_fork, and \"/\" as directory",
    .rules = {"lifecycle.fork", "lifecycle.runtime-fork", "config.relative-paths"},
    .not_applicable = [](const Subject&) { return why_instrumented(); },
    .run =
        [](CheckRun& run) {
          if (run.job().in_process) return run.unknown("needs a process of its own");
          Daemon(run).run();
        },
}};

}  // namespace
}  // namespace nbdcheck::checks::lifecycle_fork
