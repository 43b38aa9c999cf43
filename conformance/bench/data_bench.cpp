// What judging costs.  The same 4 KiB reads and writes are run on one plugin
// in three ways, within one process, in random turns
// (--benchmark_enable_random_interleaving=true), so that all three meet the
// same machine:
//
//   callbacks   the plugin's own .pread and .pwrite, nothing around them
//   harness     through Connection: validation, locks, errno rules, heartbeat
//   checked     as a data check runs them: logged, filled with tags or poison,
//               called, recorded, held against the reference disk
//
// data_bench [--benchmark_OPTION...] PLUGIN [key=value ...]
#include <benchmark/benchmark.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "execute/lane.hpp"
#include "execute/operation_log.hpp"
#include "execute/sequence.hpp"
#include "nbdcheck/server.hpp"
#include "plan/random.hpp"

namespace {

using namespace nbdcheck;

constexpr std::uint32_t request = 4096;

// Half reads and half writes, at aligned random places.
std::vector<Operation> make_plan(std::uint64_t size, std::size_t count) {
  Random random(42);
  std::vector<Operation> plan;
  plan.reserve(count);
  for (std::uint32_t i = 0; i < count; ++i) {
    Operation op;
    op.kind = random.below(2) == 0 ? OpKind::read : OpKind::write;
    op.offset = random.below(size / request) * request;
    op.count = request;
    if (op.kind == OpKind::write) op.tag = i + 1;
    plan.push_back(op);
  }
  return plan;
}

[[noreturn]] void give_up(const std::string& why) {
  fmt::print(stderr, "data_bench: {}\n", why);
  std::exit(2);
}

// Processor time of this thread, which does all the work: what else the
// machine is doing must not show.
double seconds(const std::function<void()>& work) {
  const auto now = [] {
    timespec time{};
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
  };
  const double begin = now();
  work();
  return now() - begin;
}

// Every turn starts on a disk of zeroes, as a check in a fresh child does, but
// with the plugin's memory in place.
void clear(Server& server, std::uint64_t size) {
  auto connection = server.connect();
  if (!connection || !(*connection)->open("")) give_up("the plugin cannot be opened");
  const std::vector<std::byte> zeroes(1U << 20);
  for (std::uint64_t at = 0; at < size; at += zeroes.size()) {
    const auto count = std::min<std::uint64_t>(zeroes.size(), size - at);
    if (!(*connection)->write(std::span(zeroes).first(count), at).ok()) give_up("a write failed");
  }
}

double by_callbacks(Server& server, const std::vector<Operation>& plan) {
  auto connection = server.connect();
  if (!connection || !(*connection)->open("")) give_up("the plugin cannot be opened");
  const PluginStruct& plugin = server.plugin().callbacks();
  void* const handle = (*connection)->handle();
  std::vector<std::byte> buffer(request, std::byte{0x5a});
  int failures = 0;
  const double time = seconds([&] {
    for (const Operation& op : plan)
      failures += op.kind == OpKind::read
                      ? plugin.pread(handle, buffer.data(), op.count, op.offset, 0)
                      : plugin.pwrite(handle, buffer.data(), op.count, op.offset, 0);
  });
  if (failures != 0) give_up("a request failed");
  return time;
}

double by_harness(Server& server, const std::vector<Operation>& plan) {
  auto connection = server.connect();
  if (!connection || !(*connection)->open("")) give_up("the plugin cannot be opened");
  std::vector<std::byte> buffer(request, std::byte{0x5a});
  int failures = 0;
  const double time = seconds([&] {
    for (const Operation& op : plan) {
      const Reply reply = op.kind == OpKind::read ? (*connection)->read(buffer, op.offset)
                                                  : (*connection)->write(buffer, op.offset);
      failures += reply.error;
    }
  });
  if (failures != 0) give_up("a request failed");
  return time;
}

double checked(Server& server, const Subject& subject, const std::string& log_path,
               const std::vector<Operation>& plan) {
  InProcessTarget target(server);
  SequenceOptions options;
  options.rules.reopens = false;  // as data.random has it
  options.watch_reads = true;
  SequenceRunner runner(target, subject, options);
  OperationLog log(log_path);
  Operation open;
  open.kind = OpKind::open;
  runner.step(open);
  std::string violation;
  const double time = seconds([&] {
    for (const Operation& op : plan) {
      log.append(op);
      if (const auto found = runner.step(op); found && violation.empty())
        violation = found->message;
    }
  });
  if (!violation.empty()) give_up(violation);
  if (runner.failed() != 0) give_up("a request failed");
  return time;
}

std::uint64_t size_of_export(Server& server) {
  auto connection = server.connect();
  if (!connection) give_up(connection.error().message);
  const auto info = (*connection)->open("");
  if (!info) give_up(info.error().message);
  if (!info->can_write || info->size < request) give_up("the export is not one to write to");
  return info->size;
}

struct Way {
  const char* name;
  std::function<double()> run;
};

// One iteration is a whole plan.
void add_benchmarks(Server& server, const Subject& subject, const std::vector<Operation>& plan,
                    const std::string& log_path) {
  const std::vector<Way> ways = {
      {"callbacks", [&] { return by_callbacks(server, plan); }},
      {"harness", [&] { return by_harness(server, plan); }},
      {"checked", [&, log_path] { return checked(server, subject, log_path, plan); }},
  };
  for (const Way& way : ways) {
    benchmark::RegisterBenchmark(
        way.name,
        [&, way](benchmark::State& state) {
          for ([[maybe_unused]] const auto _ : state) {
            clear(server, subject.info.size);
            state.SetIterationTime(way.run());
          }
          state.SetItemsProcessed(static_cast<std::int64_t>(plan.size()) *
                                  static_cast<std::int64_t>(state.iterations()));
        })
        ->UseManualTime()
        ->Iterations(1)
        ->Repetitions(15)
        ->Unit(benchmark::kMillisecond);
  }
}

void run(Server& server) {
  Subject subject;
  subject.info.size = size_of_export(server);
  const std::vector<Operation> plan = make_plan(subject.info.size, 100'000);
  const std::string log_path = fmt::format(
      "{}/data_bench.{}.log", std::getenv("TMPDIR") ? std::getenv("TMPDIR") : "/tmp", ::getpid());
  add_benchmarks(server, subject, plan, log_path);
  clear(server, subject.info.size);  // the plugin's memory is in place before the first turn
  benchmark::RunSpecifiedBenchmarks();
  ::unlink(log_path.c_str());
}

}  // namespace

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (argc < 2) give_up("usage: data_bench [--benchmark_OPTION...] PLUGIN [key=value ...]");
  NullObserver observer;
  auto server = Server::load(argv[1], {}, observer);
  if (!server) give_up(server.error().message);
  const std::vector<std::string> arguments(argv + 2, argv + argc);
  if (const auto ok = (*server)->configure(arguments); !ok) give_up(ok.error().message);
  if (const auto ok = (*server)->start(); !ok) give_up(ok.error().message);
  Lane lane;  // a connection's callbacks never run on the main thread
  lane.run([&] { run(**server); });
  (*server)->stop();
}
