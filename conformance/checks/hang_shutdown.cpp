// nbdkit is told to stop while a slow callback runs.  One that sleeps by
// nbdkit_nanosleep is woken; nanosleep(2) and its kin sleep on.
#include <fmt/format.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <fstream>
#include <thread>

#include "checks/check_run.hpp"
#include "checks/client.hpp"
#include "checks/every_request.hpp"
#include "nbdcheck/status_page.hpp"

namespace nbdcheck::checks::hang_shutdown {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

// What nobody waits long for is not worth a word.
constexpr milliseconds slow{300};
constexpr milliseconds noticeable{200};

// Whether the thread is asleep in nanosleep(2): the kernel knows.
bool sleeps(int thread) {
  std::ifstream file("/proc/self/task/" + std::to_string(thread) + "/syscall");
  long number = -1;
  if (!(file >> number)) return false;
  return number == SYS_clock_nanosleep
#ifdef SYS_nanosleep
         || number == SYS_nanosleep
#endif
      ;
}

class Shutdown {
 public:
  explicit Shutdown(CheckRun& run) : run_(run) {}

  void run() {
    server_ = run_.serve();
    if (!server_) return;
    Client client(*server_);
    set_phase("looking for a slow request");
    if (!client.open(run_.request().export_name)) return run_.failed_to_start(client.failure());
    const RequestKind* slowest = find_slowest(client);
    if (slowest != nullptr) {
      set_phase("shutting down while a slow request runs");
      interrupt(client, *slowest);
    }
    client.close();
    if (!run_.found_any()) server_->stop();
  }

 private:
  const RequestKind* find_slowest(Client& client) {
    const auto places = sample_places(run_.subject());
    if (places.empty()) return nullptr;
    place_ = places.front();
    kinds_ = every_request(run_.subject());
    const RequestKind* slowest = nullptr;
    milliseconds most = slow;
    for (const RequestKind& kind : kinds_) {
      const auto begin = Clock::now();
      client.run([&](Connection& connection) { kind.send(connection, place_); });
      run_.count_operations(1);
      const auto spent = std::chrono::duration_cast<milliseconds>(Clock::now() - begin);
      if (spent >= most) {
        most = spent;
        slowest = &kind;
      }
    }
    return slowest;
  }

  void interrupt(Client& client, const RequestKind& kind) {
    std::atomic<int> thread = 0;
    std::atomic<bool> done = false;
    std::thread requester([&] {
      client.run([&](Connection& connection) {
        thread = ::gettid();
        kind.send(connection, place_);
      });
      done = true;
    });
    while (thread == 0) std::this_thread::yield();
    std::this_thread::sleep_for(milliseconds(50));
    server_->shutdown();
    const auto begin = Clock::now();
    int looks = 0;
    int asleep = 0;
    while (!done) {
      std::this_thread::sleep_for(milliseconds(5));
      ++looks;
      if (sleeps(thread)) ++asleep;
    }
    const auto spent = std::chrono::duration_cast<milliseconds>(Clock::now() - begin);
    requester.join();
    // A request that works has the right to be slow: only sleep is judged.
    if (spent < noticeable || asleep * 2 < looks) return;
    Violation v;
    v.rule = "hang.shutdown";
    v.message = fmt::format(
        ".{} slept on for {} ms after nbdkit was told to stop, in nanosleep(2) or a function made "
        "of it.",
        kind.name, spent.count());
    v.expected = "nbdkit_nanosleep, which returns -1 at once, and that ends the request";
    v.actual = fmt::format("asleep at {} of {} looks", asleep, looks);
    run_.violated(std::move(v));
  }

  CheckRun& run_;
  std::unique_ptr<Server> server_;
  std::vector<RequestKind> kinds_;
  Place place_{};
};

const Registration registration{{
    .id = "hang.shutdown",
    .summary = "a sleeping request ends when the server shuts down",
    .rules = {"hang.shutdown"},
    .not_applicable = {},
    .run = [](CheckRun& run) { Shutdown(run).run(); },
}};

}  // namespace
}  // namespace nbdcheck::checks::hang_shutdown
