// A request that fails has no influence on those that come after it, on its own
// connection or on another, and leaves nothing behind in the process.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <optional>

#include "checks/check_run.hpp"
#include "checks/client.hpp"
#include "checks/leak.hpp"
#include "checks/phases.hpp"
#include "checks/provoke.hpp"
#include "checks/sequence_check.hpp"
#include "nbdcheck/status_page.hpp"

namespace nbdcheck::checks::error_requests {
namespace {

using Clock = std::chrono::steady_clock;

constexpr const char* no_such_export = "nbdcheck-no-such-export";
constexpr std::uint64_t most_in_round = 64;
constexpr std::uint64_t least_in_round = 16;
constexpr std::uint64_t most_mapped = 16U << 20;

std::chrono::milliseconds time_for(const CheckRun& run, int quick, int more) {
  return std::chrono::milliseconds(run.request().effort == Effort::quick ? quick : more);
}

class Errors {
 public:
  Errors(CheckRun& run, Server& server)
      : run_(run), server_(server), first_(server), visitor_(server) {}

  void run() {
    if (!first_.open(run_.request().export_name)) return run_.failed_to_start(first_.failure());
    find_good(false);
    const auto refused = provoke_refusals(run_, first_, time_for(run_, 40, 400));
    set_phase(phase_after_error);
    if (!refused.empty() && !still_good(refused.front())) return;
    if (run_.subject().together(2) > 1) {
      second_.emplace(server_);
      if (!second_->open(run_.request().export_name)) second_.reset();
    }
    for (const Refused& one : refused)
      failures_.push_back({describe(one.attempt), error_name(one.error),
                           [this, attempt = one.attempt] { return failed(attempt); }});
    if (second_ && refused_name())
      failures_.push_back({open_words(), "", [this] { return refused_name(); }, true});
    if (maps_extents(run_.subject()))
      // In the middle of a map, too: where the loop is left another way.
      for (const std::uint64_t room : {0U, 1U})
        failures_.push_back({map_words(room), "ENOMEM", [this, room] { return no_map(room); }});
    if (failures_.empty()) return run_.not_applicable("nothing it was asked for failed");
    find_good(run_.subject().info.can_write);
    if (good_.empty()) return run_.unknown("no place of it can be read or written reliably");
    set_phase("making requests fail");

    for (const Failing& one : failures_)
      if (!next_requests(one)) return;
    for (const Failing& one : failures_) {
      const auto succeed = [&] {
        (void)(one.opens ? visit(run_.request().export_name) : failed(good_.front()));
      };
      if (!leaves_nothing(one, succeed)) return;
    }
  }

 private:
  struct Failing {
    std::string call;   // in words
    std::string error;  // "" where none is known
    std::function<bool()> fail;
    bool opens = false;  // it is a connection that is refused
  };

  static std::string error_name(int error) {
    const char* name = ::strerrorname_np(error);
    return name != nullptr ? name : std::to_string(error);
  }
  static std::string open_words() { return fmt::format("open(\"{}\")", no_such_export); }

  bool failed(const Attempt& attempt) {
    Reply reply;
    first_.run([&](Connection& connection) { reply = perform(connection, attempt); });
    run_.count_operations(1);
    return !reply.ok();
  }

  // .extents while nbdkit has no memory for the map.
  static std::string map_words(std::uint64_t room) {
    return fmt::format(".extents for which nbdkit_add_extent {} -1",
                       room == 0 ? "returned" : "then returned");
  }
  bool no_map(std::uint64_t room) {
    const std::uint64_t size = run_.subject().info.size;
    const std::uint64_t block = run_.subject().minimum_block();
    const auto count = static_cast<std::uint32_t>(std::min(size, most_mapped) / block * block);
    Reply reply;
    set_phase(phase_no_memory);
    first_.run([&](Connection& c) { reply = c.extents_without_memory(count, 0, room); });
    set_phase("making requests fail");
    run_.count_operations(1);
    return reply.error == ENOMEM;
  }

  bool visit(const std::string& export_name) {
    const bool opened = visitor_.open(export_name);
    visitor_.close();
    return opened;
  }
  bool refused_name() { return !visit(no_such_export); }

  // A read, a map, and a write if asked for, that have always worked.
  void find_good(bool with_write) {
    good_.clear();
    for (const Place& place : sample_places(run_.subject()))
      for (const OpKind kind : {OpKind::read, OpKind::write, OpKind::extents}) {
        if (kind == OpKind::extents && !maps_extents(run_.subject())) continue;
        const Attempt attempt{kind, 0, place.offset, place.count};
        const bool known = std::any_of(good_.begin(), good_.end(),
                                       [&](const Attempt& a) { return a.kind == kind; });
        if (known || (kind == OpKind::write && !with_write)) continue;
        bool works = true;
        for (int i = 0; i < 8 && works; ++i) works = !failed(attempt);
        if (works) good_.push_back(attempt);
      }
  }

  // Not so when all that was read before can no longer be read.
  bool still_good(const Refused& first_refused) {
    if (good_.empty() || first_failure().empty()) return true;
    const std::string harm = first_failure();
    if (harm.empty()) return true;
    report(describe(first_refused.attempt), error_name(first_refused.error), harm);
    return false;
  }

  // The requests that have always worked, on every connection.  What fails is
  // put into words.
  std::string first_failure() {
    std::string found;
    const auto on = [&](Client& client, int number) {
      for (const Attempt& attempt : good_) {
        Reply reply;
        client.run([&](Connection& connection) { reply = perform(connection, attempt); });
        run_.count_operations(1);
        if (!reply.ok() && found.empty())
          found = fmt::format("{} on connection {} fails with {}", describe(attempt), number,
                              error_name(reply.error));
      }
    };
    on(first_, 1);
    if (second_) on(*second_, 2);
    if (run_.subject().thread_model == ThreadModel::parallel && found.empty()) {
      Connection* same = nullptr;
      first_.run([&](Connection& connection) { same = &connection; });
      other_thread_.run([&] {
        for (const Attempt& attempt : good_)
          if (const Reply reply = perform(*same, attempt); !reply.ok() && found.empty())
            found = fmt::format("{} on another thread fails with {}", describe(attempt),
                                error_name(reply.error));
      });
    }
    return found;
  }

  bool next_requests(const Failing& one) {
    std::string harm;
    // Twice: once may be chance.
    for (int i = 0; i < 2; ++i) {
      const std::string before = first_failure();
      if (i == 0 && !before.empty()) return true;
      if (i == 1 && !before.empty()) break;  // for good
      if (!one.fail()) return true;
      set_phase(phase_after_error);
      harm = first_failure();
      set_phase("making requests fail");
      if (harm.empty()) return true;
    }
    report(one.call, one.error, harm);
    return false;
  }

  void report(const std::string& call, const std::string& error, const std::string& harm) {
    Violation v;
    v.rule = "error.next-request";
    v.message = fmt::format("After {} failed{}, {}, which worked every time before.", call,
                            error.empty() ? "" : " with " + error, harm);
    v.expected = "a failure is over when it has been reported";
    v.actual = "error: " + run_.incidents().last_error();
    run_.violated(std::move(v));
  }

  // `succeed` is the same with success: where that leaves as much behind, the
  // failure is not the cause.
  bool leaves_nothing(const Failing& one, const std::function<void()>& succeed) {
    // The shortest: the machine may do something else meanwhile.
    double shortest = 1e9;
    for (int i = 0; i < 4; ++i) {
      const auto begin = Clock::now();
      if (!one.fail()) return true;
      shortest = std::min(shortest, std::chrono::duration<double>(Clock::now() - begin).count());
    }
    const std::chrono::duration<double> limit = time_for(run_, 20, 200);
    // Six rounds of them.
    const auto requests = static_cast<std::uint64_t>(limit.count() / 6 / std::max(shortest, 1e-7));
    if (requests < least_in_round) return true;
    const std::uint64_t n = std::min(requests, most_in_round);
    const auto many = [n](const std::function<void()>& once) {
      return [n, &once] {
        for (std::uint64_t i = 0; i < n; ++i) once();
      };
    };
    const Leak leak = find_leak(n, many([&] { (void)one.fail(); }));
    if (leak.of == Leak::Of::nothing || find_leak(n, many(succeed)).of == leak.of) return true;
    const bool memory = leak.of == Leak::Of::memory;
    Violation v;
    v.rule = "error.leak";
    v.message = fmt::format("Each time {} fails, {} {} left behind.", one.call, leak.per_request,
                            memory                  ? "bytes of memory are"
                            : leak.per_request == 1 ? "file descriptor is"
                                                    : "file descriptors are");
    v.expected = "what a failing request had taken is given back";
    v.actual = fmt::format("{} {} more after each {} of them, again and again",
                           leak.per_request * n, memory ? "bytes" : "descriptors", n);
    run_.violated(std::move(v));
    return false;
  }

  CheckRun& run_;
  Server& server_;
  Client first_;
  std::optional<Client> second_;
  Client visitor_;  // comes and goes
  Lane other_thread_;
  std::vector<Attempt> good_;
  std::vector<Failing> failures_;
};

const Registration registration{{
    .id = "error.requests",
    .summary = "requests that fail leave the others alone, and nothing behind",
    .rules = {"error.next-request", "error.lock-held", "error.leak", "error.errno",
              "error.errno-positive", "error.set-on-success", "error.lost-meaning", "error.message",
              "error.message-format"},
    .not_applicable = needs_contents,
    .run =
        [](CheckRun& run) {
          const auto server = run.serve();
          if (!server) return;
          set_phase("making requests fail");
          Errors(run, *server).run();
          set_phase("");
          if (!run.found_any()) server->stop();
          run.report_incidents();
        },
}};

}  // namespace
}  // namespace nbdcheck::checks::error_requests
