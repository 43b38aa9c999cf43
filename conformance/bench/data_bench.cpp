// What judging costs.  The same 4 KiB reads and writes are run on one plugin
// in three ways, in turns within one process, so that all three meet the same
// machine:
//
//   callbacks   the plugin's own .pread and .pwrite, nothing around them
//   harness     through Connection: validation, locks, errno rules, heartbeat
//   checked     as a data check runs them: logged, filled with tags or poison,
//               called, recorded, held against the reference disk
//
// data_bench [--rounds=N] [--operations=N] PLUGIN [key=value ...]
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
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

struct Way {
  const char* name;
  std::function<double()> run;
  std::vector<double> times = {};
};

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

struct Settings {
  unsigned rounds = 9;
  std::size_t operations = 100'000;
  std::string plugin;
  std::vector<std::string> arguments;
  std::string only;  // --only=WAY, for a profiler
};

template <typename Number>
void read_number(std::string_view text, Number& to) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), to);
  if (error != std::errc() || end != text.data() + text.size() || to == 0)
    give_up(fmt::format("'{}' is not a number above 0", text));
}

Settings settings_from(int argc, char** argv) {
  Settings settings;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (!settings.plugin.empty())
      settings.arguments.emplace_back(argument);
    else if (argument.starts_with("--rounds="))
      read_number(argument.substr(9), settings.rounds);
    else if (argument.starts_with("--operations="))
      read_number(argument.substr(13), settings.operations);
    else if (argument.starts_with("--only="))
      settings.only = argument.substr(7);
    else
      settings.plugin = argument;
  }
  if (settings.plugin.empty())
    give_up("usage: data_bench [--rounds=N] [--operations=N] [--only=WAY] PLUGIN [key=value ...]");
  return settings;
}

std::uint64_t size_of_export(Server& server) {
  auto connection = server.connect();
  if (!connection) give_up(connection.error().message);
  const auto info = (*connection)->open("");
  if (!info) give_up(info.error().message);
  if (!info->can_write || info->size < request) give_up("the export is not one to write to");
  return info->size;
}

void compare(Server& server, const Settings& settings) {
  Subject subject;
  subject.info.size = size_of_export(server);
  const std::vector<Operation> plan = make_plan(subject.info.size, settings.operations);
  const std::string log_path = fmt::format(
      "{}/data_bench.{}.log", std::getenv("TMPDIR") ? std::getenv("TMPDIR") : "/tmp", ::getpid());
  std::vector<Way> ways = {
      {"callbacks", [&] { return by_callbacks(server, plan); }},
      {"harness", [&] { return by_harness(server, plan); }},
      {"checked", [&] { return checked(server, subject, log_path, plan); }},
  };
  if (!settings.only.empty())
    std::erase_if(ways, [&](const Way& way) { return way.name != settings.only; });
  for (unsigned round = 0; round <= settings.rounds; ++round) {
    for (Way& way : ways) {
      clear(server, subject.info.size);
      const double time = way.run();
      if (round > 0) way.times.push_back(time);  // the first is to warm up
    }
  }
  ::unlink(log_path.c_str());

  fmt::print("{} {}: 4 KiB requests, half reads, {} rounds of {}, median\n", settings.plugin,
             fmt::join(settings.arguments, " "), settings.rounds, settings.operations);
  const double base = median(ways.front().times);
  for (const Way& way : ways) {
    const double time = median(way.times);
    fmt::print("  {:<10} {:>10.0f} per second  {:>6.0f} ns each  {:>5.1f} %\n", way.name,
               static_cast<double>(settings.operations) / time,
               time * 1e9 / static_cast<double>(settings.operations), 100 * base / time);
  }
}

}  // namespace

int main(int argc, char** argv) {
  const Settings settings = settings_from(argc, argv);
  NullObserver observer;
  auto server = Server::load(settings.plugin, {}, observer);
  if (!server) give_up(server.error().message);
  if (const auto ok = (*server)->configure(settings.arguments); !ok) give_up(ok.error().message);
  if (const auto ok = (*server)->start(); !ok) give_up(ok.error().message);
  Lane lane;  // a connection's callbacks never run on the main thread
  lane.run([&] { compare(**server, settings); });
  (*server)->stop();
}
