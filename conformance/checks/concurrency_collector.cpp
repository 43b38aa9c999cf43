// A runtime that collects garbage, told to collect all the time and to watch what
// it can: requests on ever new threads of the system, on connections that outlive
// the threads that used them.
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "checks/check_run.hpp"
#include "checks/client.hpp"
#include "checks/forced_collection.hpp"
#include "checks/language_runtime.hpp"
#include "checks/sequence_check.hpp"
#include "model/tags.hpp"
#include "nbdcheck/sandbox.hpp"
#include "nbdcheck/status_page.hpp"

namespace nbdcheck::checks::concurrency_collector {
namespace {

constexpr std::size_t threads_each = 4;
constexpr std::uint64_t blocks_each = 4;  // of a thread, in a round

// Go writes a line to standard error for each collection, GODEBUG=gctrace=1: they
// are counted, and the others go where they were to go.
class StandardError {
 public:
  StandardError() {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) return;
    original_ = ::fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0);
    ::dup2(ends[1], STDERR_FILENO);
    ::close(ends[1]);
    reader_ = std::thread([this, from = ends[0]] { read(from); });
  }
  ~StandardError() {
    if (!reader_.joinable()) return;
    ::dup2(original_, STDERR_FILENO);  // the last end to write to is closed
    reader_.join();
    ::close(original_);
  }
  StandardError(const StandardError&) = delete;
  StandardError& operator=(const StandardError&) = delete;

  [[nodiscard]] std::uint64_t collections() const { return collections_.load(); }

 private:
  void read(int from) {
    std::array<char, 4096> buffer;
    std::string line;
    for (ssize_t got = 0; (got = ::read(from, buffer.data(), buffer.size())) > 0;) {
      for (const char c : std::string_view(buffer.data(), static_cast<std::size_t>(got))) {
        line.push_back(c);
        if (c != '\n') continue;
        pass_on(line);
        line.clear();
      }
    }
    pass_on(line);
    ::close(from);
  }

  void pass_on(const std::string& line) {
    if (line.starts_with("gc ") && line.find(" @") != std::string::npos)
      collections_.fetch_add(1);
    else
      (void)!::write(original_, line.data(), line.size());
  }

  int original_ = -1;
  std::thread reader_;
  std::atomic<std::uint64_t> collections_{0};
};

class Collector {
 public:
  Collector(CheckRun& run, Server& server)
      : run_(run),
        server_(server),
        block_(run.subject().usual_request()),
        slots_(std::min<std::uint64_t>(run.subject().info.size / block_,
                                       usual_connections * threads_each * blocks_each)),
        known_(slots_, 0) {}

  void run(const StandardError& errors) {
    const auto again = [&] { return rounds_ == 0 || run_.budget_left(); };
    for (; again() && !wrong_ && !refused_; ++rounds_) round();
    run_.count_operations(requests_.load());
    if (wrong_) run_.violated(std::move(*wrong_));
    run_.remark(fmt::format(
        "{} connections, of which {} at once, on {} threads; {} requests{}", opened_, clients(),
        started_, requests_.load(),
        errors.collections() != 0 ? fmt::format("; {} collections", errors.collections()) : ""));
  }

 private:
  // Of few blocks each thread still has one of its own.
  [[nodiscard]] std::size_t clients() const {
    return std::clamp<std::size_t>(slots_ / threads_each, 1,
                                   run_.subject().together(usual_connections));
  }

  // All connections are opened, used on threads that end, and closed.
  void round() {
    std::vector<std::unique_ptr<Client>> open;
    for (std::size_t i = 0; i < clients(); ++i) {
      auto client = std::make_unique<Client>(server_);
      if (!client->open(run_.request().export_name)) {
        run_.failed_to_start(client->failure());
        refused_ = true;
        return;
      }
      open.push_back(std::move(client));
    }
    opened_ += open.size();
    started_ += open.size();
    // Only PARALLEL has threads beside that of the connection.
    const bool parallel = run_.subject().thread_model == ThreadModel::parallel;
    const std::size_t workers = parallel ? threads_each : 1;
    const std::size_t all = open.size() * workers;
    std::vector<std::thread> threads;
    for (std::size_t n = 0; n < all; ++n) {
      Client& client = *open.at(n % open.size());
      const auto work = [this, n, all](Connection& connection) {
        for (std::uint64_t slot = n; slot < slots_; slot += all) use(connection, slot);
      };
      threads.emplace_back([&client, work, parallel] {
        if (!parallel) return client.run(work);
        prepare_thread();
        work(client.connection());
      });
    }
    for (std::thread& thread : threads) thread.join();
    if (parallel) started_ += threads.size();
    // The threads are gone, and the connections are closed on their own.  What a
    // connection owes the next one is what was flushed.
    bool flushed = true;
    for (const auto& client : open)
      flushed = client->info().can_flush && client->flush().ok() && flushed;
    if (!flushed) std::ranges::fill(known_, 0U);
  }

  // No two threads have a block in common, so each knows what it holds.
  void use(Connection& connection, std::uint64_t slot) {
    const std::uint64_t offset = slot * block_;
    std::vector<std::byte> data(block_);
    if (known_.at(slot) != 0 && run_.subject().persistence == Persistence::shared)
      compare(connection, data, offset, known_.at(slot), "by another thread, which has ended");
    const auto tag = static_cast<std::uint32_t>(rounds_ * slots_ + slot + 1);
    fill_tags(data, offset, tag);
    known_.at(slot) = connection.write(data, offset).ok() ? tag : 0;
    if (known_.at(slot) != 0) compare(connection, data, offset, tag, "just now");
    requests_.fetch_add(1);
  }

  void compare(Connection& connection, std::vector<std::byte>& data, std::uint64_t offset,
               std::uint32_t tag, const char* when) {
    requests_.fetch_add(1);
    if (!connection.read(data, offset).ok()) return;  // other checks speak of that
    const std::size_t good = match_tags(data, offset, tag);
    if (good == data.size()) return;
    Violation v;
    v.rule = "concurrency.collector";
    v.message = fmt::format(
        "pread(count={}, offset={}) returned other data than were written {}, while the runtime "
        "collected garbage all the time.",
        data.size(), offset, when);
    v.expected = "the data that were written";
    v.actual = fmt::format("wrong from byte {} of the buffer on", good);
    const std::lock_guard lock(mutex_);
    if (!wrong_) wrong_ = std::move(v);
  }

  CheckRun& run_;
  Server& server_;
  std::uint64_t block_;
  std::uint64_t slots_;
  std::vector<std::uint32_t> known_;  // by slot; 0: unknown
  std::uint64_t rounds_ = 0;
  std::uint64_t opened_ = 0;
  std::uint64_t started_ = 0;  // threads that have called the plugin
  std::atomic<std::uint64_t> requests_{0};
  bool refused_ = false;
  std::mutex mutex_;
  std::optional<Violation> wrong_;
};

std::string not_applicable(const Subject& subject) {
  if (runtime_within(subject.plugin.path) == LanguageRuntime::none)
    return "no collector of garbage comes with it";
  if (!subject.info.can_write) return "read-only";
  if (const std::string why = needs_contents(subject); !why.empty()) return why;
  if (subject.info.size < subject.usual_request()) return "smaller than a block";
  return "";
}

const Registration registration{{
    .id = "concurrency.collector",
    .summary = "ever new threads, while the language's runtime collects garbage all the time",
    .rules = {"concurrency.collector"},
    .weight = 1,
    // Go: collect as soon as the heap has grown by 1 %, and see below; overwrite what is
    // freed, look at each pointer that is stored. OCaml: a heap for the young of 4096 words.
    .environment = {"GOGC=1", "GODEBUG=gctrace=1,clobberfree=1,cgocheck=2,invalidptr=1",
                    "OCAMLRUNPARAM=s=4k,o=10"},
    .not_applicable = not_applicable,
    .run =
        [](CheckRun& run) {
          if (run.job().in_process) return run.unknown("needs a process of its own");
          const StandardError errors;
          const auto server = run.serve();
          if (!server) return;
          if (runtime_within(run.subject().plugin.path) == LanguageRuntime::go)
            collect_every_millisecond(
                reinterpret_cast<const void*>(server->plugin().init_function()));
          set_phase("requests on ever new threads, while garbage is collected");
          Collector(run, *server).run(errors);
          if (!run.found_any()) server->stop();
          run.report_incidents();
        },
    .at_once = true,
}};

}  // namespace
}  // namespace nbdcheck::checks::concurrency_collector
