// A plugin, in process: bytes are operations, every answer is judged by the
// reference disk, and what the server notices by the rules of nbdcheck.
//
// The plugin is linked in, or else NBDCHECK_PLUGIN names its file; NBDCHECK_ARGS are
// its arguments, separated by spaces.  It is configured once and serves all inputs,
// as in a server; each input has connections of its own.  NBDCHECK_ARTIFACTS says
// where findings go.  NBDCHECK_THREADS=2: requests at once.  NBDCHECK_FAIL_ON is the
// lowest severity that is a finding (must, should or quality; should), and NBDCHECK_SKIP
// names rules that are none.
#include <dlfcn.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <sstream>

#include "artifacts.hpp"
#include "beside.hpp"
#include "bytes.hpp"
#include "descriptors.hpp"
#include "execute/concurrent.hpp"
#include "judge/concurrent.hpp"
#include "nbdcheck/testing.hpp"
#include "plan/shrink.hpp"
#include "rules/catalogue.hpp"

extern "C" [[gnu::weak]] void* plugin_init();
extern "C" [[gnu::weak]] const char* const nbdcheck_fuzzer_arguments;
extern "C" [[gnu::weak]] const char* const nbdcheck_fuzzer_plugin;
extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv);
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size,
                                               std::size_t most, unsigned seed);
extern "C" std::size_t LLVMFuzzerCustomCrossOver(const std::uint8_t* a, std::size_t a_size,
                                                 const std::uint8_t* b, std::size_t b_size,
                                                 std::uint8_t* out, std::size_t most,
                                                 unsigned seed);

namespace {

using namespace nbdcheck;

std::string variable(const char* name, const char* otherwise) {
  const char* const value = std::getenv(name);
  return value != nullptr ? value : otherwise != nullptr ? otherwise : "";
}

std::vector<std::string> words(const std::string& text) {
  std::istringstream stream(text);
  std::vector<std::string> result;
  for (std::string word; stream >> word;) result.push_back(word);
  return result;
}

// Those below the severity that counts, and those that are known.
std::vector<std::string> ignored_rules() {
  std::vector<std::string> rules = words(variable("NBDCHECK_SKIP", ""));
  for (const std::string& rule : rules)
    if (find_rule(rule) == nullptr) throw PluginError("NBDCHECK_SKIP: no rule is called " + rule);
  const std::string least = variable("NBDCHECK_FAIL_ON", "should");
  if (least != "must" && least != "should" && least != "quality")
    throw PluginError("NBDCHECK_FAIL_ON: must, should or quality, not " + least);
  const Severity severity = least == "must"     ? Severity::must
                            : least == "should" ? Severity::should
                                                : Severity::quality;
  for (const Rule& rule : all_rules())
    if (rule.severity < severity) rules.emplace_back(rule.id);
  return rules;
}

class Fuzzer {
 public:
  Fuzzer() {
    context_.directory = variable("NBDCHECK_ARTIFACTS", ".");
    context_.arguments = words(variable(
        "NBDCHECK_ARGS", &nbdcheck_fuzzer_arguments != nullptr ? nbdcheck_fuzzer_arguments : ""));
    context_.plugin = variable("NBDCHECK_PLUGIN",
                               &nbdcheck_fuzzer_plugin != nullptr ? nbdcheck_fuzzer_plugin : "");
    if (&plugin_init == nullptr && context_.plugin.empty()) {
      context_.plugin = fuzz::plugin_beside_program();
      if (context_.arguments.empty()) context_.arguments = {"size=1M"};
    }
    scrutiny_ = {.incidents = true, .second_look = true, .ignored = ignored_rules()};
    if (variable("NBDCHECK_THREADS", "1") == "2") {
      limits_.threads = 2;
      limits_.most_bytes = 1U << 20;  // all that is read is kept
    }
    if (&plugin_init == nullptr && context_.plugin.empty())
      throw PluginError("NBDCHECK_PLUGIN names no plugin, and none is linked in");
    // Before there are threads of the plugin's.
    watcher_ = std::make_unique<fuzz::Watcher>(context_);
    // Once only: it stays in memory, and what .unload leaves in its variables with it.
    plugin_ = load();
    subject_ = plugin_->subject();
    // Whether another connection sees the same disk is not promised, and not known.
    if (limits_.threads == 1 && !subject_.info.advertises_multi_conn) limits_.connections = 1;
    plugin_->scrutinise(scrutiny_);
  }

  void run(std::span<const std::uint8_t> bytes) {
    auto operations = fuzz::operations_of(bytes, subject_, limits_);
    // libFuzzer begins with an empty input, and gives up when it covers nothing.
    if (operations.empty()) operations.push_back({.kind = OpKind::open});
    context_.buffers = limits_.threads > 1 ? BufferMode::direct : fuzz::buffers_of(bytes);
    watcher_->begin(operations, context_.buffers);
    std::vector<Operation> shown;
    const auto violation =
        limits_.threads > 1 ? at_once(operations, shown) : one_by_one(operations, shown);
    if (!watcher_->is_original()) ::_exit(0);
    watcher_->end();
    if (violation) return found(*violation, shown, operations.size());
    if (watcher_->was_forked())
      return found({"process.forked-copy",
                    "A callback forked and returned in the child process too.",
                    "",
                    "",
                    {}},
                   operations, operations.size());
    if (const auto gone = descriptors_.mend(watcher_->process()); !gone.empty())
      return found({"process.descriptors",
                    "The plugin closed or replaced " + gone + ", which it did not open.",
                    "",
                    "",
                    {}},
                   operations, operations.size());
  }

 private:
  [[nodiscard]] std::unique_ptr<PluginUnderTest> load() const {
    // A plugin that stays in memory keeps its counters of coverage.
    if (&plugin_init == nullptr)
      static_cast<void>(::dlopen(context_.plugin.c_str(), RTLD_NOW | RTLD_NODELETE));
    return &plugin_init != nullptr
               ? std::make_unique<PluginUnderTest>(&plugin_init, context_.arguments)
               : std::make_unique<PluginUnderTest>(context_.plugin, context_.arguments);
  }

  std::optional<Violation> one_by_one(const std::vector<Operation>& operations,
                                      std::vector<Operation>& shown) {
    if (scrutiny_.buffers != context_.buffers) {
      scrutiny_.buffers = context_.buffers;
      plugin_->scrutinise(scrutiny_);
    }
    auto outcome = plugin_->run(operations);
    shown = std::move(outcome.operations);
    return std::move(outcome.violation);
  }

  std::optional<Violation> at_once(const std::vector<Operation>& operations,
                                   std::vector<Operation>& shown) {
    InProcessTarget target(plugin_->server());
    ConcurrentRunner runner(target, subject_.info.size, {});
    std::vector<Operation> all;
    for (std::uint8_t thread = 0; thread < limits_.threads; ++thread) {
      Operation open;
      open.kind = OpKind::open;
      open.connection = open.thread = thread;
      all.push_back(open);
    }
    all.insert(all.end(), operations.begin(), operations.end());
    shown = all;
    plugin_->forget_incidents();
    const auto records = runner.run(all, ++seed_);
    ConcurrentRules rules;
    rules.multi_conn = subject_.info.advertises_multi_conn;
    auto verdict = judge_concurrent(records, rules);
    for (Violation& violation : verdict.violations)
      if (auto found = plugin_->noticed(std::move(violation))) return found;
    return plugin_->noticed(std::nullopt);
  }

  [[noreturn]] void found(const Violation& violation, const std::vector<Operation>& operations,
                          std::size_t original) {
    write_artifacts(context_, violation, operations, original);
    std::abort();  // what the fuzzer understands
  }

  fuzz::Context context_;
  Subject subject_;
  fuzz::Limits limits_;
  Scrutiny scrutiny_;
  fuzz::Descriptors descriptors_;
  std::unique_ptr<fuzz::Watcher> watcher_;
  std::unique_ptr<PluginUnderTest> plugin_;
  std::uint64_t seed_ = 0;
};

Fuzzer* fuzzer = nullptr;

}  // namespace

int LLVMFuzzerInitialize(int*, char***) {
  try {
    static Fuzzer the_one;
    fuzzer = &the_one;
  } catch (const PluginError& error) {
    std::fprintf(stderr, "nbdcheck: %s\n", error.what());
    std::_Exit(2);
  }
  return 0;
}

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzzer->run({data, size});
  return 0;
}

std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t most,
                                    unsigned seed) {
  return fuzz::mutate(data, size, most, seed);
}

std::size_t LLVMFuzzerCustomCrossOver(const std::uint8_t* a, std::size_t a_size,
                                      const std::uint8_t* b, std::size_t b_size, std::uint8_t* out,
                                      std::size_t most, unsigned seed) {
  return fuzz::cross({a, a_size}, {b, b_size}, {out, most}, seed);
}
