// Random reads and writes, with FUA, flush and cache between them, judged
// against the reference disk.
#include "checks/sequence_check.hpp"

namespace nbdcheck::checks::data_random {
namespace {

const Registration registration{{
    .id = "data.random",
    .summary = "random reads and writes against the reference disk",
    .rules = {"data.read-your-writes", "data.nothing-outside", "data.buffer-filled",
              "cache.harmless", "flush.harmless", "data.stable-contents", "data.return-value",
              "capability.fua-needs-flush", "data.readable"},
    .weight = 3,
    .not_applicable = needs_contents,
    .run =
        [](CheckRun& run) {
          const Mix mix =
              possible({.read = 48, .write = 46, .flush = 2, .cache = 2}, run.subject());
          SequenceSpec spec{aim_of(run.subject()), mix, run.sequence_options()};
          spec.options.rules.reopens = false;
          run_random_sequence(run, spec);
        },
    .seeded = true,
}};

}  // namespace
}  // namespace nbdcheck::checks::data_random
