#include "checks/concurrent_noise.hpp"

#include <algorithm>
#include <functional>
#include <vector>

#include "nbdcheck/step.hpp"

namespace nbdcheck {
namespace {

// A place in a long loop would have threads wait all the time.
constexpr std::uint32_t most_passes = 64;

std::vector<std::uint64_t> instructions_of(const Recording& recording) {
  std::vector<std::uint64_t> often;
  for (const StepPoint& point : recording.points)
    if (point.occurrence > most_passes) often.push_back(point.address);
  std::vector<std::uint64_t> result;
  for (const StepPoint& point : recording.points)
    if (std::find(often.begin(), often.end(), point.address) == often.end())
      result.push_back(point.address);
  return result;
}

std::vector<void*> data_callbacks(const PluginStruct& table) {
  std::vector<void*> entries;
  const auto add = [&entries](auto* function) {
    if (function != nullptr) entries.push_back(reinterpret_cast<void*>(function));
  };
  add(table.pread);
  add(table.pwrite);
  add(table.flush);
  add(table.trim);
  add(table.zero);
  add(table._pread_v1);
  add(table._pwrite_v1);
  add(table._flush_v1);
  add(table._trim_v1);
  add(table._zero_v1);
  return entries;
}

std::vector<std::uint64_t> instructions_of_requests(const CheckRun& run, Server& server,
                                                    const Code& code) {
  std::vector<std::uint64_t> places;
  if (!code.opaque().empty()) return places;
  auto stepper = Stepper::attach(code, data_callbacks(server.plugin().callbacks()));
  if (!stepper) return places;
  (*stepper)->set_longest(3000);
  StepThread thread;
  std::unique_ptr<Connection> connection;
  thread.run([&] {
    auto connected = server.connect();
    if (connected && (*connected)->open(run.request().export_name))
      connection = *std::move(connected);
  });
  if (connection) {
    const std::uint64_t block = std::max<std::uint64_t>(run.subject().minimum_block(), 512);
    std::vector<std::byte> data(std::min(block, run.subject().info.size));
    const ExportInfo& info = connection->export_info();
    const auto record = [&](const std::function<void()>& request) {
      const auto found = instructions_of((*stepper)->record(thread, request));
      places.insert(places.end(), found.begin(), found.end());
    };
    bool held = false;
    record([&] { held = connection->read(data, 0).ok(); });
    // What was there before is put back.
    if (held && info.can_write) {
      const auto put_back = [&] { connection->write(data, 0); };
      const auto count = static_cast<std::uint32_t>(data.size());
      record(put_back);
      if (info.can_trim) record([&] { connection->trim(count, 0); });
      if (info.zero != zero_none) record([&] { connection->zero(count, 0); });
      record(put_back);
    }
    if (info.can_flush) record([&] { connection->flush(); });
  }
  thread.run([&] { connection.reset(); });
  return places;
}

}  // namespace

std::unique_ptr<Noise> make_noise(CheckRun& run, Server& server) {
  const Code code =
      Code::of_plugin(reinterpret_cast<const void*>(server.plugin().callbacks().get_size));
  NoiseOptions options;
  options.seed = run.random().next();
  options.places = instructions_of_requests(run, server, code);
  return std::make_unique<Noise>(code, std::move(options));
}

}  // namespace nbdcheck
