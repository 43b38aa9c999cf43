// Several connections open at once, closed in an order other than the one they
// were opened in; those that remain go on as if nothing had happened.  Nothing
// is written, so that no connection has a reason to see another's work.
#include <fmt/format.h>

#include <array>
#include <functional>
#include <memory>
#include <utility>

#include "checks/check_run.hpp"
#include "checks/client.hpp"
#include "checks/sequence_check.hpp"
#include "nbdcheck/status_page.hpp"

namespace nbdcheck::checks::handle_together {
namespace {

constexpr std::size_t clients = 4;

std::string not_applicable(const Subject& subject) {
  if (subject.thread_model == ThreadModel::serialize_connections)
    return "one connection at a time (serialize_connections)";
  return "";
}

class Together {
 public:
  Together(CheckRun& run, Server& server)
      : run_(run), server_(server), places_(sample_places(run.subject())) {
    constexpr std::uint64_t slow = 100'000'000;  // nanoseconds; each place is read thirty times
    if (run.subject().nanoseconds_per_read > slow && places_.size() > 1) places_.resize(1);
  }

  void run() {
    set_phase("opening several connections at once");
    for (std::size_t i = 0; i < clients; ++i) {
      if (!open(i)) return;
      learn(i);
    }
    if (!others_unharmed("opening the others")) return;
    set_phase("closing connections while others are open");
    for (const std::size_t leaver : {std::size_t{0}, std::size_t{2}}) {
      clients_[leaver].reset();
      if (!others_unharmed(fmt::format("closing connection {}", leaver + 1))) return;
    }
    if (!open(0)) return;
    learn(0);
    for (const std::size_t leaver : {std::size_t{3}, std::size_t{0}, std::size_t{1}}) {
      clients_[leaver].reset();
      if (!others_unharmed(fmt::format("closing connection {}", leaver + 1))) return;
    }
    failures_stay_private();
  }

 private:
  // What a place held when it was first read; empty: it could not be read.
  using Memory = std::vector<std::vector<std::byte>>;

  bool open(std::size_t index) {
    auto client = std::make_unique<Client>(server_);
    if (client->open_at_last(run_.request().export_name)) {
      clients_[index] = std::move(client);
      return true;
    }
    if (index == 0 && !clients_[1]) {
      run_.failed_to_start(client->failure());
      return false;
    }
    refused(index);
    return false;
  }

  // A plugin may limit its clients, but its thread model says that there can
  // be two.
  void refused(std::size_t index) {
    const bool second = index == 1;
    const std::string why = run_.subject().together(2) < 2
                                ? "its .open waits until the first connection is closed"
                                : "error: " + run_.incidents().last_error();
    for (auto& client : clients_) client.reset();
    if (!second) return;
    Client alone(server_);
    if (!alone.open(run_.request().export_name)) return;
    Violation v;
    v.rule = "handle.concurrent-open";
    v.message = fmt::format(
        "While one connection is open the export cannot be opened on a second one; once the first "
        "is closed it can. The thread model, {}, lets clients connect at the same time.",
        name(run_.subject().thread_model));
    v.expected = "a second handle, or NBDKIT_THREAD_MODEL_SERIALIZE_CONNECTIONS";
    v.actual = why;
    run_.violated(std::move(v));
  }

  std::vector<std::byte> read(std::size_t index, const Place& place) {
    std::vector<std::byte> data(place.count);
    run_.count_operations(1);
    if (!clients_[index]->read(data, place.offset).ok()) data.clear();
    return data;
  }

  void learn(std::size_t index) {
    memories_[index].clear();
    for (const Place& place : places_) memories_[index].push_back(read(index, place));
  }

  bool others_unharmed(const std::string& event) {
    for (std::size_t i = 0; i < clients; ++i)
      if (clients_[i] && !unharmed(i, event)) return false;
    return true;
  }

  bool unharmed(std::size_t index, const std::string& event) {
    for (std::size_t p = 0; p < places_.size(); ++p) {
      const auto& before = memories_[index][p];
      if (before.empty()) continue;
      // A read may fail now and then.
      auto now = read(index, places_[p]);
      for (int tries = 1; tries < read_tries && now.empty(); ++tries) now = read(index, places_[p]);
      if (now == before || (!now.empty() && (tried_changes_ || !contents_count()))) continue;
      Violation v;
      v.rule = "handle.independent";
      v.message =
          fmt::format("After {}, pread(count={}, offset={}) on connection {} {}.", event,
                      places_[p].count, places_[p].offset, index + 1,
                      now.empty() ? "fails, which worked before"
                                  : "returns other data than before, though nothing was written");
      v.expected = "the other connections go on as before";
      if (now.empty()) v.actual = "error: " + run_.incidents().last_error();
      run_.violated(std::move(v));
      return false;
    }
    return true;
  }

  // Requests that a plugin may refuse; what is refused on one connection must
  // not end the others.
  void failures_stay_private() {
    for (const std::size_t i : {std::size_t{0}, std::size_t{1}}) {
      if (!open(i)) return;
      learn(i);
    }
    set_phase("trying requests that may fail on one connection");
    tried_changes_ = true;
    using Request = std::function<Reply(Connection&, const Place&)>;
    const std::uint64_t size = run_.subject().info.size;
    const std::pair<const char*, Request> requests[] = {
        {"trim", [](Connection& c, const Place& p) { return c.trim(p.count, p.offset); }},
        {"zero", [](Connection& c, const Place& p) { return c.zero(p.count, p.offset); }},
        {"cache", [](Connection& c, const Place& p) { return c.cache(p.count, p.offset); }},
        {"extents", [size](Connection& c, const Place& p) {
           ExtentList list(p.offset, size);
           return c.extents(p.count, p.offset, 0, list);
         }}};
    for (const Place& place : places_) {
      for (const auto& [call, request] : requests) {
        Reply reply;
        clients_[0]->run(
            [&, &ask = request](Connection& connection) { reply = ask(connection, place); });
        run_.count_operations(1);
        if (!reply.ok() &&
            !unharmed(1, fmt::format("{}(count={}, offset={}) failed on connection 1", call,
                                     place.count, place.offset)))
          return;
      }
    }
  }

  [[nodiscard]] bool contents_count() const {
    return run_.subject().stable_contents && !run_.request().unstable_contents;
  }

  CheckRun& run_;
  Server& server_;
  std::vector<Place> places_;
  std::array<std::unique_ptr<Client>, clients> clients_;
  std::array<Memory, clients> memories_;
  bool tried_changes_ = false;  // contents need not be what they were
};

const Registration registration{{
    .id = "handle.together",
    .summary = "connections open at once and closed in any order leave each other alone",
    .rules = {"handle.concurrent-open", "handle.independent"},
    .not_applicable = not_applicable,
    .run =
        [](CheckRun& run) {
          const auto server = run.serve();
          if (!server) return;
          Together(run, *server).run();
          if (!run.found_any()) server->stop();
          run.report_incidents();
        },
}};

}  // namespace
}  // namespace nbdcheck::checks::handle_together
