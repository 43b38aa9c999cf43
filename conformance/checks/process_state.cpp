// What a plugin changes in the process it is a guest of: the life cycle, with
// one client, and a look around after every step.
#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <thread>

#include "checks/check_run.hpp"
#include "checks/client.hpp"
#include "checks/every_request.hpp"
#include "checks/leftover_threads.hpp"
#include "checks/phases.hpp"
#include "checks/plugin_code.hpp"
#include "nbdcheck/census.hpp"
#include "nbdcheck/closes.hpp"
#include "nbdcheck/sandbox.hpp"
#include "nbdcheck/status_page.hpp"

namespace nbdcheck::checks::process_state {
namespace {

// Those that nbdkit itself sets after .get_ready (nbdkit server/signals.c).
constexpr std::array servers_signals{SIGINT, SIGQUIT, SIGTERM, SIGHUP, SIGPIPE};

void quit(int) {}

std::string signal_name(int signal) {
  const char* name = ::sigabbrev_np(signal);
  return name != nullptr ? fmt::format("SIG{}", name) : fmt::format("signal {}", signal);
}

std::string words_for(const SignalDisposition& disposition) {
  if (disposition.ignored) return "ignored";
  return disposition.caught ? fmt::format("caught by {:#x}", disposition.handler) : "default";
}

const char* name_of_limit(int which) {
  switch (which) {
    case RLIMIT_AS:
      return "RLIMIT_AS";
    case RLIMIT_DATA:
      return "RLIMIT_DATA";
    case RLIMIT_FSIZE:
      return "RLIMIT_FSIZE";
    case RLIMIT_NOFILE:
      return "RLIMIT_NOFILE";
    case RLIMIT_NPROC:
      return "RLIMIT_NPROC";
    default:
      return "RLIMIT_STACK";
  }
}

// A condition that may need a moment to become true.
template <typename Condition>
bool soon(Condition&& condition) {
  // A number of looks, not a time: on a busy machine each of them takes longer,
  // and what is waited for does, too.
  for (int looks = 0; looks < 150; ++looks) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return false;
}

class State {
 public:
  explicit State(CheckRun& run) : run_(run) {}

  void run() {
    ::umask(022);  // nbdkit-plugin(3) "umask"
    surroundings_ = surroundings();
    const std::size_t threads_at_first = threads().size();
    ServerOptions options = run_.server_options();
    options.redirect_stdio = false;  // done here, where the output is looked at
    auto server = run_.load(std::move(options));
    if (!server) return;
    look("dlopen and .load");
    const auto own_code = code_of(*server);
    std::optional<CloseWatch> closes(own_code);
    const auto threads_of_runtime = threads();
    has_runtime_ = threads_of_runtime.size() > threads_at_first;
    descriptors_ = open_descriptors();

    set_phase("configuring the plugin");
    if (const auto ok = server->configure(run_.request().arguments); !ok)
      return fail_to_start(ok.error(), std::move(server));
    look("the configuration");
    set_phase("starting to serve");
    if (const auto ok = server->get_ready(); !ok)
      return fail_to_start(ok.error(), std::move(server));
    look(".get_ready");
    judge_early_threads(threads_of_runtime);

    become_server();
    if (const auto ok = server->after_fork(); !ok)
      return fail_to_start(ok.error(), std::move(server));
    look(".after_fork");
    if (!be_served(*server)) return;
    const CodeOfPlugin code = CodeOfPlugin::of(server->plugin().facts().path);
    set_phase("stopping the server");
    server->cleanup();
    look(".cleanup");
    judge_closes(closes->bad(), own_code);
    closes.reset();
    // The server is about to end: .unload may leave signals as it found them
    // long ago, as Python does.
    server->unload();
    judge_end(code);
  }

 private:
  // nbdkit then exits, and the plugin is not unloaded.
  void fail_to_start(const Failure& failure, std::unique_ptr<Server> server) {
    run_.failed_to_start(failure);
    static_cast<void>(server.release());
  }

  void violated(const char* rule, std::string message, std::string expected, std::string actual) {
    Violation v;
    v.rule = rule;
    v.message = std::move(message);
    v.expected = std::move(expected);
    v.actual = std::move(actual);
    run_.violated(std::move(v));
  }

  // As nbdkit does between .get_ready and .after_fork, save that what is
  // written to standard output can be read.
  void become_server() {
    std::fflush(nullptr);
    stdio_ = run_.job().in_process ? -1 : ::memfd_create("stdout", MFD_CLOEXEC);
    if (stdio_ >= 0) {
      const int null = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
      ::dup2(null, STDIN_FILENO);
      if (null > STDERR_FILENO) ::close(null);
      ::dup2(stdio_, STDOUT_FILENO);
    }
    for (const int signal : servers_signals) {
      struct sigaction action {};
      action.sa_handler = signal == SIGPIPE ? SIG_IGN : quit;
      action.sa_flags = SA_RESTART;
      ::sigaction(signal, &action, nullptr);
      signals_.emplace_back(signal, disposition_of(signal));
    }
    standard_ = standard_streams();
    serving_ = true;
    surroundings_ = surroundings();
  }

  bool be_served(Server& server) {
    Client client(server);
    set_phase("opening the export");
    if (!client.connect() || !client.open(run_.request().export_name)) {
      run_.failed_to_start(client.failure());
      return false;
    }
    look(".open");
    look_at_mask(client, ".open");
    set_phase("sending requests of every kind");
    for (const Place& place : sample_places(run_.subject())) {
      for (const RequestKind& kind : every_request(run_.subject())) {
        client.run([&](Connection& connection) { kind.send(connection, place); });
        run_.count_operations(1);
        const std::string callback = "." + std::string(kind.name);
        look(callback);
        look_at_mask(client, callback);
      }
    }
    judge_close_on_exec();
    set_phase("closing the connection");
    client.close();
    look(".close");
    return true;
  }

  // --- after each step -----------------------------------------------------
  void look(const std::string& step) {
    look_at_surroundings(step);
    if (serving_) {
      look_at_signals(step);
      look_at_streams(step);
    }
    if (const auto blocked = blocked_signals() & ~blocked_; blocked != 0) {
      report_mask(blocked, step, "the main thread");
      blocked_ |= blocked;
    }
  }

  void look_at_surroundings(const std::string& step) {
    Surroundings now = surroundings();
    const auto changed = [&](const std::string& what, const std::string& before,
                             const std::string& after) {
      violated("process.environment",
               fmt::format("{} changed the {} of the whole process.", step, what),
               what + " " + before, what + " " + after);
    };
    if (now.directory != surroundings_.directory)
      changed("working directory", surroundings_.directory, now.directory);
    if (now.file_mask != surroundings_.file_mask)
      changed("umask", fmt::format("{:04o}", surroundings_.file_mask),
              fmt::format("{:04o}", now.file_mask));
    if (now.number_locale != surroundings_.number_locale)
      changed("locale (LC_NUMERIC)", surroundings_.number_locale, now.number_locale);
    for (const auto& [which, limit] : now.limits)
      if (const auto before = surroundings_.limits[which]; limit < before)
        changed(name_of_limit(which), std::to_string(before), std::to_string(limit));
    // Before serving starts there is one thread, and nobody is disturbed.
    if (serving_ && now.variables != surroundings_.variables) {
      std::vector<std::string> difference;
      std::ranges::set_symmetric_difference(surroundings_.variables, now.variables,
                                            std::back_inserter(difference));
      changed("environment", "variables as they were",
              fmt::format("changed: {}", fmt::join(difference, ", ")));
    }
    surroundings_ = std::move(now);
  }

  void look_at_signals(const std::string& step) {
    for (auto& [signal, before] : signals_) {
      const SignalDisposition now = disposition_of(signal);
      if (now == before) continue;
      violated(
          "process.signals",
          fmt::format("{} changed what {} does, which nbdkit has set.", step, signal_name(signal)),
          signal == SIGPIPE ? "ignored" : "nbdkit's handler, which ends the server in order",
          words_for(now));
      before = now;
    }
    const SignalDisposition child = disposition_of(SIGCHLD);
    if (child.ignored || child.no_child_wait)
      violated("process.signals",
               fmt::format("After {} SIGCHLD is ignored: whoever else in the process waits for a "
                           "child of his will not find it.",
                           step),
               "default, or caught", child.ignored ? "ignored" : "SA_NOCLDWAIT");
  }

  void look_at_mask(Client& client, const std::string& step) {
    std::uint64_t blocked = 0;
    client.run([&](Connection&) { blocked = blocked_signals() & ~blocked_; });
    if (blocked != 0) report_mask(blocked, step, "the connection's thread");
  }

  void report_mask(std::uint64_t blocked, const std::string& step, const char* whose) {
    std::vector<std::string> names;
    for (const int signal : {SIGINT, SIGQUIT, SIGTERM, SIGHUP, SIGPIPE, SIGCHLD})
      if ((blocked >> signal & 1) != 0) names.push_back(signal_name(signal));
    if (names.empty()) return;
    violated("process.signals", fmt::format("{} returned with signals blocked on {}.", step, whose),
             "the mask as it was", fmt::format("blocked: {}", fmt::join(names, " ")));
  }

  [[nodiscard]] static std::vector<OpenDescriptor> standard_streams() {
    auto all = open_descriptors();
    std::erase_if(all, [](const OpenDescriptor& d) { return d.number > STDERR_FILENO; });
    return all;
  }

  void look_at_streams(const std::string& step) {
    const auto now = standard_streams();
    for (const OpenDescriptor& before : standard_) {
      const auto at = std::ranges::find(now, before.number, &OpenDescriptor::number);
      if (at != now.end() && at->device == before.device && at->inode == before.inode) continue;
      violated("process.descriptors",
               fmt::format("{} {} descriptor {}.", step,
                           at == now.end() ? "closed" : "put something else in the place of",
                           before.number),
               "descriptors 0, 1 and 2 are left alone",
               at == now.end() ? "closed" : "now " + at->target);
    }
    standard_ = now;
    if (stdio_ < 0) return;
    std::fflush(stdout);
    struct stat facts {};
    if (::fstat(stdio_, &facts) != 0 || facts.st_size <= written_) return;
    std::string text(std::min<std::size_t>(static_cast<std::size_t>(facts.st_size - written_), 80),
                     '\0');
    const ssize_t got = ::pread(stdio_, text.data(), text.size(), written_);
    text.resize(static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
    written_ = facts.st_size;
    violated("process.stdio", fmt::format("{} wrote to standard output.", step),
             "no output: use nbdkit_debug or nbdkit_error", text);
  }

  // --- at certain points -----------------------------------------------------
  void judge_early_threads(const std::vector<int>& before) {
    if (has_runtime_) return;  // lifecycle.runtime-fork speaks of those
    std::size_t extra = 0;
    if (soon([&] {
          const auto now = threads();
          extra = static_cast<std::size_t>(std::ranges::count_if(
              now, [&](int id) { return !std::ranges::binary_search(before, id); }));
          return extra == 0;
        }))
      return;
    violated("lifecycle.early-threads",
             fmt::format("{} thread{} started before .after_fork still run{} after .get_ready.",
                         extra, extra == 1 ? "" : "s", extra == 1 ? "s" : ""),
             "background threads are started in .after_fork: the fork before it ends all others",
             fmt::format("{} more than after .load", extra));
  }

  void judge_close_on_exec() {
    // nbdkit-plugin(3) asks for it under NBDKIT_THREAD_MODEL_PARALLEL.
    if (run_.subject().thread_model != ThreadModel::parallel) return;
    std::vector<std::string> open;
    for (const OpenDescriptor& descriptor : open_descriptors()) {
      if (descriptor.closes_on_exec || descriptor.number <= STDERR_FILENO) continue;
      const bool older = std::ranges::any_of(descriptors_, [&](const OpenDescriptor& d) {
        return d.number == descriptor.number && d.inode == descriptor.inode;
      });
      if (!older) open.push_back(fmt::format("{} ({})", descriptor.number, descriptor.target));
    }
    if (open.empty()) return;
    violated("process.cloexec",
             "The plugin has descriptors that a program started by another thread inherits.",
             "O_CLOEXEC on open, SOCK_CLOEXEC on socket, EFD_CLOEXEC on eventfd ...",
             fmt::format("without it: {}", fmt::join(open, ", ")));
  }

  void judge_closes(const std::vector<BadClose>& bad, const Code& code) {
    if (bad.empty()) return;
    const BadClose& first = bad.front();
    const std::string where = first.where == Callback::count_
                                  ? "a thread of the plugin"
                                  : fmt::format(".{}", name(first.where));
    const std::string who = code.contains(first.at) ? code.source(first.at - 1) : "a library";
    violated("process.close-once",
             fmt::format("{} called close({}), which was not open (EBADF), in {}.", where,
                         first.descriptor, who),
             "each descriptor is closed once, by its owner",
             fmt::format("closed twice: another thread may have been given the number in between{}",
                         bad.size() > 1 ? "; it is not the only one" : ""));
  }

  void judge_end(const CodeOfPlugin& code) {
    set_phase(phase_unloaded);
    LeftoverThreads left;
    if (code.is_gone())
      soon([&] {
        left = threads_within(code);
        return left.within.empty() && !left.unsure;
      });
    if (!left.within.empty())
      violated("process.threads",
               fmt::format("{} thread(s) of the plugin still ran after .unload, in code that is no "
                           "longer there.",
                           left.within.size()),
               "they are stopped and joined in .cleanup or .unload",
               "their stacks hold addresses of the unloaded plugin");
    soon([] { return !has_children(); });  // those that are about to end
    if (zombie_children() > 0)
      violated(
          "process.children",
          fmt::format("{} child process(es) ended and were never waited for.", zombie_children()),
          "waitpid for each", "zombies after .unload");
    judge_temporary_files();
  }

  void judge_temporary_files() {
    namespace fs = std::filesystem;
    const char* directory = std::getenv("TMPDIR");
    if (run_.job().in_process || directory == nullptr) return;
    std::vector<std::string> left;
    std::error_code error;
    for (fs::recursive_directory_iterator at(directory, error), end; !error && at != end;
         at.increment(error))
      if (left.size() < 5) left.push_back(at->path().lexically_relative(directory).string());
    if (left.empty()) return;
    violated("process.temporary-files", "The plugin left files in $TMPDIR.",
             "removed by .cleanup or .unload", fmt::format("{}", fmt::join(left, ", ")));
  }

  CheckRun& run_;
  bool has_runtime_ = false;  // threads that were there before .config
  bool serving_ = false;
  Surroundings surroundings_;
  std::vector<OpenDescriptor> descriptors_;
  std::vector<OpenDescriptor> standard_;
  std::vector<std::pair<int, SignalDisposition>> signals_;
  std::uint64_t blocked_ = blocked_signals();
  int stdio_ = -1;
  off_t written_ = 0;
};

const Registration registration{{
    .id = "process.state",
    .summary = "what the plugin changes in the process: directory, umask, signals, output ...",
    .rules = {"process.environment", "process.signals", "process.stdio", "process.descriptors",
              "process.cloexec", "process.close-once", "process.threads", "lifecycle.early-threads",
              "process.children", "process.temporary-files"},
    .not_applicable = {},
    .run = [](CheckRun& run) { State(run).run(); },
}};

}  // namespace
}  // namespace nbdcheck::checks::process_state
