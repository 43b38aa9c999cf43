// The scenes of concurrency.stress, in which a thread stands still now and then at
// any instruction of a callback, while the others go on at full speed.
#include <fmt/format.h>

#include "checks/concurrent_check.hpp"
#include "checks/plugin_code.hpp"
#include "nbdcheck/preemption.hpp"

namespace nbdcheck::checks::concurrency_preemption {
namespace {

class Preempted final : public Interference {
 public:
  Preempted(CheckRun& run, const Server& server)
      : opaque_(code_of(server).opaque()), preemption_({.seed = run.random().next()}) {}

  [[nodiscard]] std::string unavailable() const override {
    return opaque_.empty() ? preemption_.unavailable() : opaque_;
  }
  [[nodiscard]] std::string remark() const override {
    return fmt::format("{} waits", preemption_.count());
  }

 private:
  std::string opaque_;
  Preemption preemption_;
};

std::unique_ptr<Interference> interfere(CheckRun& run, Server& server) {
  return std::make_unique<Preempted>(run, server);
}

const Registration registration{{
    .id = "concurrency.preemption",
    .summary = "the same, on threads that stand still at any instruction",
    .rules = rules_of_scenes(),
    .weight = 2,
    .not_applicable = needs_concurrency,
    .run =
        [](CheckRun& run) {
          run_scenes_in_process(run, "running requests at once, preempted anywhere", interfere);
        },
    .at_once = true,
    .interfere = interfere,
    .seeded = true,
}};

}  // namespace
}  // namespace nbdcheck::checks::concurrency_preemption
