// The scenes of concurrency.stress, on threads that yield and wait in the
// places where plugins go wrong: in their calls, and at the instructions that
// requests of each kind execute.
#include <algorithm>
#include <functional>
#include <vector>

#include "checks/concurrent_check.hpp"
#include "checks/plugin_code.hpp"
#include "checks/struct_fields.hpp"
#include "nbdcheck/noise.hpp"
#include "nbdcheck/step.hpp"

namespace nbdcheck::checks::concurrency_noise {
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

std::vector<std::uint64_t> instructions_of_requests(const CheckRun& run, Server& server,
                                                    const Code& code) {
  std::vector<std::uint64_t> places;
  if (!code.opaque().empty()) return places;
  auto stepper = Stepper::attach(code, callbacks_of(server.plugin().callbacks(), of_the_data));
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

NoiseOptions noise_options(CheckRun& run, Server& server, const Code& code) {
  NoiseOptions options;
  options.seed = run.random().next();
  options.places = instructions_of_requests(run, server, code);
  return options;
}

class WithNoise final : public Interference {
 public:
  WithNoise(CheckRun& run, Server& server)
      : code_(code_of(server)), noise_(code_, noise_options(run, server, code_)) {}

 private:
  Code code_;
  Noise noise_;
};

std::unique_ptr<Interference> interfere(CheckRun& run, Server& server) {
  return std::make_unique<WithNoise>(run, server);
}

const Registration registration{{
    .id = "concurrency.noise",
    .summary = "the same, on threads that wait in unfortunate places",
    .rules = rules_of_scenes(),
    .weight = 2,
    .not_applicable = needs_concurrency,
    .run =
        [](CheckRun& run) {
          run_scenes_in_process(run, "running requests at once, with noise", interfere);
        },
    .at_once = true,
    .interfere = interfere,
    .seeded = true,
}};

}  // namespace
}  // namespace nbdcheck::checks::concurrency_noise
