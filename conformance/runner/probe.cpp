#include "runner/probe.hpp"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <thread>
#include <vector>

#include "model/tags.hpp"
#include "nbdcheck/status_page.hpp"
#include "runner/connection_limit.hpp"

namespace nbdcheck {
namespace {

constexpr std::uint32_t probe_tag = 0xfffffff0;
constexpr std::uint32_t beside_tag = 0xfffffff1;  // of the one that stays connected
constexpr std::uint64_t most_places = 8;

class Probe {
 public:
  using Answer = std::function<void(const Subject&)>;
  Probe(CheckRun& run, Server& server, const Answer& answer)
      : run_(run), server_(server), answer_(answer) {}

  // False: the export cannot be opened.
  bool run(Subject& subject) {
    set_phase("opening the export for the first time");
    InProcessTarget target(server_);
    auto session = target.open(run_.request().export_name);
    if (!session) {
      run_.failed_to_start(session.error());
      return false;
    }
    subject.info = (*session)->info();
    block_ = subject.minimum_block();
    size_ = subject.info.size - subject.info.size % block_;
    length_ = subject.usual_request();
    set_phase("looking at what the export holds");
    if (run_.job().second_probe) {
      look_again(**session, subject);
      return true;
    }
    if (size_ == 0) return true;
    subject.stable_contents = stable(**session);
    time_read(**session, subject);
    if (!subject.info.can_write) return true;
    const std::size_t written = write_places(**session, probe_tag, subject.info.can_flush);
    session->reset();
    if (written == 0) return true;
    set_phase("opening the export again");
    session = target.open(run_.request().export_name);
    if (!session) {
      run_.failed_to_start(session.error());
      return false;
    }
    // All of them gone: a disk of its own for every connection.  Some of them
    // gone: shared, and handle.reopen will say what it thinks of that.
    subject.persistence =
        survivors(**session, probe_tag) > 0 ? Persistence::shared : Persistence::per_connection;
    return true;
  }

 private:
  // What this process did not write is there, or what it wrote is no more, for
  // another server has started: the storage is not its own.
  void look_again(Session& session, Subject& subject) {
    const bool writes = size_ > 0 && subject.info.can_write;
    subject.external_storage =
        writes && survivors(session, probe_tag) + survivors(session, beside_tag) > 0;
    if (run_.job().hold <= 0) return answer_(subject);
    const auto keeps = [&](const std::function<void()>& meanwhile) {
      const std::size_t written = writes ? write_places(session, beside_tag, false) : 0;
      meanwhile();
      return !writes || survivors(session, beside_tag) >= written;
    };
    const auto begin = std::chrono::steady_clock::now();
    const bool kept = keeps([&] {
      answer_(subject);
      stay_connected();
    });
    const auto time = std::chrono::steady_clock::now() - begin;
    // One that loses data in any case is for the checks to find.
    if (kept || !keeps([&] { std::this_thread::sleep_for(time); })) return;
    subject.external_storage = true;
    answer_(subject);
  }

  void stay_connected() const {
    const std::chrono::duration<double> longest(run_.job().hold);
    const std::string let_go = let_go_path(run_.job());
    const auto begin = std::chrono::steady_clock::now();
    while (std::chrono::steady_clock::now() - begin < longest && !std::filesystem::exists(let_go))
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }

  [[nodiscard]] std::uint64_t length() const { return std::min(size_, length_); }
  [[nodiscard]] std::vector<std::uint64_t> places() const {
    std::vector<std::uint64_t> all;
    const std::uint64_t room = size_ - length();
    for (std::uint64_t i = 0; i < most_places; ++i) {
      const auto place = static_cast<std::uint64_t>(static_cast<unsigned __int128>(room) * i /
                                                    (most_places - 1) / block_ * block_);
      if (all.empty() || place >= all.back() + length()) all.push_back(place);
    }
    return all;
  }

  bool stable(Session& session) {
    std::vector<std::byte> first(length());
    std::vector<std::byte> again(length());
    for (const std::uint64_t place : places()) {
      if (!session.read(first, place, 0).ok()) continue;
      for (int round = 0; round < 2; ++round) {
        if (round > 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
        if (session.read(again, place, 0).ok() && again != first) return false;
      }
    }
    return true;
  }

  // How long a read takes, and whether there is one that succeeds.
  void time_read(Session& session, Subject& subject) {
    std::vector<std::byte> data(length());
    const auto begin = std::chrono::steady_clock::now();
    subject.readable = data.empty();
    for (int i = 0; i < 3; ++i)
      subject.readable = session.read(data, 0, 0).ok() || subject.readable;
    const std::chrono::nanoseconds spent = std::chrono::steady_clock::now() - begin;
    subject.nanoseconds_per_read = static_cast<std::uint64_t>(spent.count()) / 3;
  }

  std::size_t write_places(Session& session, std::uint32_t tag, bool can_flush) {
    std::size_t written = 0;
    std::vector<std::byte> data(length());
    for (const std::uint64_t place : places()) {
      fill_tags(data, place, tag);
      if (session.write(data, place, 0).ok()) ++written;
    }
    if (can_flush) session.flush();
    return written;
  }

  std::size_t survivors(Session& session, std::uint32_t tag) {
    std::size_t found = 0;
    std::vector<std::byte> data(length());
    for (const std::uint64_t place : places())
      if (session.read(data, place, 0).ok() && match_tags(data, place, tag) == data.size()) ++found;
    return found;
  }

  CheckRun& run_;
  Server& server_;
  const Answer& answer_;
  std::uint64_t block_ = 1;
  std::uint64_t size_ = 0;
  std::uint64_t length_ = 1;  // read or written at a place
};

}  // namespace

void probe(CheckRun& run, const std::function<void(const Subject&)>& answer) {
  const auto server = run.serve();
  if (!server) return;
  Subject subject;
  subject.plugin = server->plugin().facts();
  subject.thread_model = server->thread_model();
  subject.arguments = run.request().arguments;
  bool opened = false;
  on_connection_thread([&] { opened = Probe(run, *server, answer).run(subject); });
  if (!opened) return;
  if (run.job().second_probe) {
    if (run.job().count_connections) {
      // After it was told: of this it may hang or die, which is for the checks to find.
      count_connections(*server, run.request().export_name, subject);
      answer(subject);
    }
    set_phase("stopping the server");
    server->stop();
    return;
  }
  if (run.request().persistence != Persistence::unknown)
    subject.persistence = run.request().persistence;
  answer(subject);
  set_phase("stopping the server");
  server->stop();
}

std::string let_go_path(const Job& job) { return job.log_path + ".let-go"; }

}  // namespace nbdcheck
