// Random zero requests with all legal flags among reads and writes.
#include "checks/sequence_check.hpp"

namespace nbdcheck::checks::zero_random {
namespace {

const Registration registration{{
    .id = "zero.random",
    .summary = "random zero requests, with and without MAY_TRIM, FUA, FAST_ZERO",
    .rules = {"zero.reads-zero", "zero.nothing-outside", "data.readable"},
    .weight = 2,
    .not_applicable = needs_writing,
    .run =
        [](CheckRun& run) {
          const Mix mix =
              possible({.read = 42, .write = 30, .zero = 25, .flush = 2}, run.subject());
          SequenceSpec spec{aim_of(run.subject()), mix, run.sequence_options()};
          spec.options.rules.reopens = false;
          run_random_sequence(run, spec);
        },
    .seeded = true,
}};

}  // namespace
}  // namespace nbdcheck::checks::zero_random
