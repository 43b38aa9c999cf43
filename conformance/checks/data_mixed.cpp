// Everything at once, for faults that need three kinds of request: a cache
// filled by a read, made stale by a trim, flushed over a zero.
#include "checks/sequence_check.hpp"

namespace nbdcheck::checks::data_mixed {
namespace {

const Registration registration{{
    .id = "data.mixed",
    .summary = "all kinds of request in one random sequence",
    .rules = {"data.read-your-writes", "data.nothing-outside", "zero.reads-zero",
              "zero.nothing-outside", "trim.nothing-outside", "extents.no-lie", "data.readable"},
    .weight = 3,
    .not_applicable = needs_writing,
    .run =
        [](CheckRun& run) {
          const Mix mix = possible({.read = 36,
                                    .write = 30,
                                    .zero = 10,
                                    .trim = 8,
                                    .flush = 4,
                                    .cache = 4,
                                    .extents = 6},
                                   run.subject());
          SequenceSpec spec{aim_of(run.subject()), mix, run.sequence_options()};
          spec.options.rules.reopens = false;
          run_random_sequence(run, spec);
        },
    .seeded = true,
}};

}  // namespace
}  // namespace nbdcheck::checks::data_mixed
