// All kinds of request, one after the other on two threads, and what locks the
// plugin takes meanwhile: orders that contradict each other are a deadlock that
// has not happened yet.
#include <fmt/format.h>

#include <array>
#include <chrono>
#include <filesystem>
#include <functional>
#include <iterator>
#include <thread>

#include "checks/check_run.hpp"
#include "checks/client.hpp"
#include "checks/concurrent_check.hpp"
#include "checks/lock_words.hpp"
#include "checks/plugin_code.hpp"
#include "model/tags.hpp"
#include "nbdcheck/status_page.hpp"

namespace nbdcheck::checks::concurrency_locks {
namespace {

class Requests {
 public:
  Requests(CheckRun& run, Server& server) : run_(run), server_(server) {}

  void run() {
    const bool several = run_.subject().thread_model >= ThreadModel::serialize_requests &&
                         run_.subject().together(2) > 1;
    // Where requests never run at once, one thread stands for all of them; the
    // other side of a circle may be a thread of the plugin's own.
    for (std::size_t i = 0; i < (several ? 2U : 1U); ++i) {
      clients_[i] = std::make_unique<Client>(server_);
      if (!clients_[i]->open(run_.request().export_name))
        return run_.failed_to_start(clients_[i]->failure());
    }
    for (int round = 0; round < 2; ++round) {
      for (auto& client : clients_) {
        if (!client) continue;
        client->run([this](Connection& connection) { all_kinds(connection); });
        if (several) come_and_go();
      }
    }
    for (auto& client : clients_) client.reset();
  }

 private:
  void all_kinds(Connection& connection) {
    const std::uint64_t size = run_.subject().info.size;
    const std::uint64_t block = run_.subject().minimum_block();
    // Part of a block, whole ones, several.
    for (const std::uint64_t wanted :
         {std::uint64_t{512}, std::uint64_t{8192}, std::uint64_t{98304}}) {
      const std::uint64_t count = std::min(wanted / block * block, size / block * block);
      if (count == 0) continue;
      // Requests that meet in the middle, begin at the end, at the front.
      for (const std::uint64_t from : {size / 2, size - count, std::uint64_t{0}}) {
        const std::uint64_t offset = std::min(from / block * block, (size - count) / block * block);
        one_of_each(connection, static_cast<std::uint32_t>(count), offset);
      }
    }
  }

  void one_of_each(Connection& connection, std::uint32_t count, std::uint64_t offset) {
    const ExportInfo& info = connection.export_info();
    std::vector<std::byte> data(count);
    fill_tags(data, offset, 1);
    ExtentList list(offset, info.size);
    if (info.can_write) connection.write(data, offset);
    connection.read(data, offset);
    if (info.can_extents) connection.extents(count, offset, 0, list);
    if (info.cache != cache_none) connection.cache(count, offset);
    if (info.can_flush) connection.flush();
    if (info.zero != zero_none) connection.zero(count, offset, 0);
    if (info.can_trim) connection.trim(count, offset);
    if (info.can_write) connection.write(data, offset);
    if (info.can_write && info.fua != fua_none) connection.write(data, offset, command_flag::fua);
    run_.count_operations(8);
  }

  void come_and_go() {
    Client guest(server_);
    if (!guest.open(run_.request().export_name)) return;
    std::vector<std::byte> data(run_.subject().minimum_block());
    if (run_.subject().info.size >= data.size()) guest.read(data, 0);
  }

  CheckRun& run_;
  Server& server_;
  std::array<std::unique_ptr<Client>, 2> clients_;
};

void report(CheckRun& run, const LockCycle& cycle, const Code& code) {
  Violation v;
  v.rule = "concurrency.lock-order";
  std::string places;
  for (const LockCycle::Step& step : cycle.steps)
    places += fmt::format("{}{} takes {} while it holds {}", places.empty() ? "" : ", ",
                          code.source(step.wanted_at - 1), code.variable(step.wanted),
                          code.variable(step.held));
  v.message = fmt::format("Locks are taken in orders that contradict each other: {}.", places);
  v.expected = "one order for all";
  v.details = order_words(cycle, code);
  run.violated(std::move(v));
}

bool start(CheckRun& run, Server& server) {
  if (const auto ok = server.configure(run.request().arguments); !ok) {
    run.failed_to_start(ok.error());
    return false;
  }
  if (const auto ok = server.start(); !ok) {
    run.failed_to_start(ok.error());
    return false;
  }
  return true;
}

std::ptrdiff_t threads_now() {
  std::error_code ignored;
  return std::distance(std::filesystem::directory_iterator("/proc/self/task", ignored), {});
}

void watch_locks(CheckRun& run) {
  auto server = run.load(run.server_options());
  if (!server) return;
  set_phase("watching the locks that requests take");
  bool served = false;
  const auto threads_before = threads_now();
  {
    const Code code = code_of(*server);
    // From the start: threads of the plugin's own begin there.
    const LockWatch watch(code);
    served = start(run, *server);
    if (served) {
      Requests(run, *server).run();
      // Threads of the plugin's own may not have come to anything yet.
      if (threads_now() > threads_before)
        std::this_thread::sleep_for(std::chrono::milliseconds(30));
      if (watch.taken() == 0) run.not_applicable("it takes no locks that can be seen");
      const auto found = watch.inversions();
      if (!found.empty()) report(run, found.front(), code);
    }
  }
  if (served)
    server->stop();
  else
    (void)server.release();  // nbdkit would just exit
}

const Registration registration{{
    .id = "concurrency.locks",
    .summary = "locks are taken in one order",
    .rules = {"concurrency.lock-order"},
    .not_applicable = [](const Subject& subject) -> std::string {
      return subject.info.size == 0 ? "nothing to ask for" : "";
    },
    .run = watch_locks,
    .at_once = true,
}};

}  // namespace
}  // namespace nbdcheck::checks::concurrency_locks
