// How fast the plugin target is, beside the same operations on the real nbdkit.
//
//   fuzz_bench PLUGIN SECONDS [key=value ...]
//
// An execution is an input of the seed corpus: connections opened, its operations
// made and judged, connections closed; in process by the target itself, bytes and all.
#include <fmt/format.h>

#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "bytes.hpp"
#include "nbdcheck/nbdkit.hpp"
#include "nbdcheck/testing.hpp"

extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv);
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

using namespace nbdcheck;
using Clock = std::chrono::steady_clock;

using Bytes = std::vector<std::uint8_t>;
using Operations = std::vector<Operation>;

// How fast a way to run the inputs is, measured piece by piece.
class Speed {
 public:
  explicit Speed(std::function<std::size_t(std::size_t)> run) : run_(std::move(run)) {}
  // `run` makes an input's execution and tells how many operations it had.
  void measure(double seconds) {
    const auto begin = Clock::now();
    double taken = 0;
    while (taken < seconds) {
      operations_ += run_(executions_++);
      taken = std::chrono::duration<double>(Clock::now() - begin).count();
    }
    seconds_ += taken;
  }
  [[nodiscard]] double executions() const { return static_cast<double>(executions_) / seconds_; }
  [[nodiscard]] double operations() const { return static_cast<double>(operations_) / seconds_; }

 private:
  std::function<std::size_t(std::size_t)> run_;
  std::size_t executions_ = 0;
  std::size_t operations_ = 0;
  double seconds_ = 0;
};

void run_on(Target& target, const Subject& subject, const Operations& plan) {
  SequenceOptions options;
  options.judge_unwritten = false;
  SequenceRunner runner(target, subject, options);
  for (const Operation& op : plan) {
    if (op.kind != OpKind::close && !runner.is_open(op.connection)) {
      Operation open;
      open.kind = OpKind::open;
      open.connection = op.connection;
      static_cast<void>(runner.step(open));
    }
    static_cast<void>(runner.step(op));
  }
}

struct Scratch {
  const std::string path =
      std::filesystem::temp_directory_path() / fmt::format("fuzz-bench-{}", ::getpid());
  Scratch() { std::filesystem::create_directory(path); }
  ~Scratch() { std::filesystem::remove_all(path); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    fmt::print(stderr, "Usage: fuzz_bench PLUGIN SECONDS [key=value ...]\n");
    return 2;
  }
  const std::string plugin = argv[1];
  const double seconds = std::atof(argv[2]);
  const std::vector<std::string> arguments(argv + 3, argv + argc);
  try {
    const Subject subject = PluginUnderTest(plugin, arguments).subject();
    std::vector<Bytes> inputs;
    std::vector<Operations> plans;
    for (unsigned seed = 1; seed <= 64; ++seed) {
      inputs.push_back(fuzz::bytes_of(random_operations(subject, 4U + seed % 24, seed)));
      plans.push_back(fuzz::operations_of(inputs.back(), subject, {}));
    }
    const Scratch scratch;
    ::setenv("NBDCHECK_PLUGIN", plugin.c_str(), 1);
    ::setenv("NBDCHECK_ARGS", fmt::format("{}", fmt::join(arguments, " ")).c_str(), 1);
    ::setenv("NBDCHECK_ARTIFACTS", scratch.path.c_str(), 1);
    LLVMFuzzerInitialize(&argc, &argv);
    Speed ours([&](std::size_t i) {
      const Bytes& input = inputs[i % inputs.size()];
      LLVMFuzzerTestOneInput(input.data(), input.size());
      return plans[i % plans.size()].size();
    });

    const auto program = NbdkitProgram::find("");
    if (!program) {
      fmt::print(stderr, "fuzz_bench: {}\n", program.error().message);
      return 2;
    }
    // Each server has a directory for its socket.
    const auto start = [&](const std::string& name) {
      NbdkitOptions options;
      options.directory = scratch.path + "/" + name;
      std::filesystem::create_directories(options.directory);
      options.plugin = plugin;
      options.arguments = arguments;
      auto nbdkit = NbdkitProcess::start(*program, options);
      if (!nbdkit) throw PluginError(nbdkit.error().message);
      return *std::move(nbdkit);
    };
    const auto nbdkit = start("one");
    NbdkitTarget served(*nbdkit);
    Speed socket([&](std::size_t i) {
      run_on(served, subject, plans[i % plans.size()]);
      return plans[i % plans.size()].size();
    });
    Speed fresh([&](std::size_t i) {
      const auto another = start("each");
      NbdkitTarget target(*another);
      run_on(target, subject, plans[i % plans.size()]);
      return plans[i % plans.size()].size();
    });
    // In turns, so that what else the machine does falls on all of them.
    constexpr int turns = 5;
    for (int turn = 0; turn < turns; ++turn)
      for (Speed* speed : {&ours, &socket, &fresh}) speed->measure(seconds / turns);

    fmt::print("{:<38} {:>12} {:>12} {:>8}\n", "", "executions/s", "operations/s", "ratio");
    fmt::print("{:<38} {:>12.0f} {:>12.0f}\n", "in process", ours.executions(), ours.operations());
    for (const auto& [name, speed] : {std::pair{"nbdkit, a connection each", &socket},
                                      std::pair{"nbdkit, a process each", &fresh}})
      fmt::print("{:<38} {:>12.1f} {:>12.0f} {:>7.0f}x\n", name, speed->executions(),
                 speed->operations(), ours.executions() / speed->executions());
  } catch (const std::exception& error) {
    fmt::print(stderr, "fuzz_bench: {}\n", error.what());
    return 2;
  }
}
