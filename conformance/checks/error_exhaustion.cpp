// No file descriptor left: a plugin that needs one fails with a message, and
// works again when there are some.  nbdkit-plugin(3) "Error handling".
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include "checks/check_run.hpp"
#include "checks/client.hpp"
#include "checks/phases.hpp"
#include "checks/provoke.hpp"
#include "checks/sanitized.hpp"
#include "nbdcheck/status_page.hpp"

namespace nbdcheck::checks::error_exhaustion {
namespace {

// While it lives no descriptor can be opened.
class NoDescriptors {
 public:
  NoDescriptors() {
    if (::getrlimit(RLIMIT_NOFILE, &before_) != 0) return;
    const int free = ::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0);  // the lowest one
    if (free < 0) return;
    ::close(free);
    rlimit none = before_;
    none.rlim_cur = static_cast<rlim_t>(free);
    active_ = ::setrlimit(RLIMIT_NOFILE, &none) == 0;
    if (active_) set_phase(phase_no_descriptor);
  }
  ~NoDescriptors() {
    if (active_) ::setrlimit(RLIMIT_NOFILE, &before_);
  }
  NoDescriptors(const NoDescriptors&) = delete;
  NoDescriptors& operator=(const NoDescriptors&) = delete;
  [[nodiscard]] bool active() const { return active_; }

 private:
  rlimit before_{};
  bool active_ = false;
};

class Exhaustion {
 public:
  Exhaustion(CheckRun& run, Server& server)
      : run_(run), server_(server), places_(sample_places(run.subject())) {}

  void run() {
    opening();
    if (!run_.found_any()) serving();
  }

 private:
  static constexpr int tries = 8;

  void opening() {
    if (!opens()) return run_.unknown("it cannot be opened: " + run_.incidents().last_error());
    int refused = 0;
    {
      Client client(server_);
      const NoDescriptors none;
      if (!none.active()) return run_.unknown("the limit of open files cannot be set");
      for (int i = 0; i < tries && client.connect(); ++i) {
        if (!client.open(run_.request().export_name)) ++refused;
        client.close();
      }
    }
    run_.report_incidents();
    if (opens() || opens()) return;
    Violation v;
    v.rule = "error.recovers";
    v.message = fmt::format(
        "While the process could open no more files, {} of {} clients were refused; now that it "
        "can again, every client still is.",
        refused, tries);
    v.expected = "a client that comes later finds the plugin working";
    v.actual = "error: " + run_.incidents().last_error();
    run_.violated(std::move(v));
  }

  bool opens() {
    Client client(server_);
    return client.open(run_.request().export_name);
  }

  // An open connection, for plugins that need descriptors in their requests.
  void serving() {
    Client client(server_);
    if (!client.open(run_.request().export_name)) return;
    std::vector<Attempt> good;
    for (const Place& place : places_)
      for (const OpKind kind : {OpKind::read, OpKind::write})
        if (kind == OpKind::read || run_.subject().info.can_write)
          if (const Attempt attempt{kind, 0, place.offset, place.count};
              works(client, attempt) && works(client, attempt))
            good.push_back(attempt);
    int refused = 0;
    {
      const NoDescriptors none;
      if (!none.active()) return;
      for (const Attempt& attempt : good)
        if (!works(client, attempt)) ++refused;
    }
    run_.report_incidents();
    if (refused == 0) return;
    for (const Attempt& attempt : good) {
      if (works(client, attempt) || works(client, attempt)) continue;
      // A connection that is lost for good is one thing, a plugin another.
      Client fresh(server_);
      const bool one_at_a_time = run_.subject().together(2) < 2;
      if (one_at_a_time) client.close();
      if (fresh.open(run_.request().export_name) && works(fresh, attempt)) return;
      Violation v;
      v.rule = "error.recovers";
      v.message = fmt::format(
          "While the process could open no more files {} of {} requests failed; now that it can "
          "again, {} still fails, on a new connection, too.",
          refused, good.size(), describe(attempt));
      v.expected = "requests that come later find the plugin working";
      v.actual = "error: " + run_.incidents().last_error();
      run_.violated(std::move(v));
      return;
    }
  }

  bool works(Client& client, const Attempt& attempt) {
    Reply reply;
    client.run([&](Connection& connection) { reply = perform(connection, attempt); });
    run_.count_operations(1);
    return reply.ok();
  }

  CheckRun& run_;
  Server& server_;
  std::vector<Place> places_;
};

const Registration registration{{
    .id = "error.exhaustion",
    .summary = "no file descriptor left: a failure with a message, and not for good",
    .rules = {"error.exhaustion", "error.recovers", "error.message-lifecycle"},
    .not_applicable = [](const Subject&) { return why_instrumented(); },
    .run =
        [](CheckRun& run) {
          // Nobody translates EMFILE for the client: EIO, and what becomes of
          // EMFILE itself (EINVAL), will do.
          run.incidents().expect(IncidentKind::no_errno);
          run.incidents().expect(IncidentKind::errno_lost);
          const auto server = run.serve();
          if (!server) return;
          Exhaustion(run, *server).run();
          // What dies from here on does so with descriptors, too.
          set_phase(phase_descriptors_again);
          if (!run.found_any()) server->stop();
          run.report_incidents();
        },
}};

}  // namespace
}  // namespace nbdcheck::checks::error_exhaustion
