#include "runner/connection_limit.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <thread>
#include <vector>

#include "checks/client.hpp"
#include "execute/lane.hpp"
#include "nbdcheck/status_page.hpp"

namespace nbdcheck {
namespace {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

// On a busy machine, too, it must be known whether those that checks open would wait.
constexpr unsigned needed_visitors = usual_connections + 1;
constexpr Clock::duration time_for_needed = 2s;
constexpr Clock::duration time_for_all = 250ms;
constexpr Clock::duration shortest_wait = 1s;  // of one that is taken to wait
constexpr int much_slower = 20;                // than the slowest before it

// A client, and who waits for it to get in.
class Visitor {
 public:
  Visitor(Server& server, const std::string& export_name) : client_(server) {
    usher_.start([this, name = export_name] {
      good_ = client_.open(name);
      done_ = true;
    });
  }

  void wait() { usher_.wait(); }
  bool done_within(Clock::duration time) const {
    const auto end = Clock::now() + time;
    while (!done_ && Clock::now() < end) std::this_thread::sleep_for(50us);
    return done_;
  }
  // REQUIRES: it is done.
  [[nodiscard]] bool good() const { return good_; }

 private:
  Client client_;
  bool good_ = false;
  std::atomic<bool> done_ = false;
  Lane usher_;  // ends before what it uses
};

class Visit {
 public:
  Visit(Server& server, const std::string& export_name, unsigned wanted) {
    const auto begin = Clock::now();
    Clock::duration slowest = 0s;
    const auto has_time = [&] {
      return Clock::now() - begin <
             (open_.size() < needed_visitors ? time_for_needed : time_for_all);
    };
    while (open_.size() < wanted && has_time()) {
      const auto one = Clock::now();
      auto visitor = std::make_unique<Visitor>(server, export_name);
      if (open_.empty()) visitor->wait();  // for nobody
      waits_ = !visitor->done_within(std::max(shortest_wait, much_slower * slowest));
      if (waits_) {
        open_.clear();  // it comes in now; or what hangs is seen to hang
        return;
      }
      if (!visitor->good()) return;
      slowest = std::max(slowest, Clock::now() - one);
      open_.push_back(std::move(visitor));
      seen_ = static_cast<unsigned>(open_.size());
    }
  }

  // How many were open together.
  [[nodiscard]] unsigned seen() const { return seen_; }
  // Whether the next one got in when they had left.
  [[nodiscard]] bool waits() const { return waits_; }

 private:
  std::vector<std::unique_ptr<Visitor>> open_;
  unsigned seen_ = 0;
  bool waits_ = false;
};

}  // namespace

void count_connections(Server& server, const std::string& export_name, Subject& subject) {
  set_phase("opening several connections at once");
  if (server.thread_model() == ThreadModel::serialize_connections) return;
  unsigned seen = 0;
  {
    const Visit first(server, export_name, many_connections);
    seen = first.seen();
    subject.more_wait = first.waits();
  }
  if (subject.more_wait) {
    // A busy machine does not stop twice in the same place.
    const Visit again(server, export_name, seen + 1);
    subject.more_wait = again.waits() && again.seen() == seen;
  }
  subject.connections_seen = seen;
}

}  // namespace nbdcheck
