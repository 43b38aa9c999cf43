// Close and open again between the requests: what was flushed is still there.
// Where every connection has a disk of its own, each starts anew and the
// sequence only checks that it works.
#include "checks/sequence_check.hpp"

namespace nbdcheck::checks::handle_reopen {
namespace {

const Registration registration{{
    .id = "handle.reopen",
    .summary = "flushed data survive close and reopen",
    .rules = {"handle.persistence"},
    .weight = 1,
    .not_applicable = needs_writing,
    .run =
        [](CheckRun& run) {
          const Mix mix =
              possible({.read = 40, .write = 40, .zero = 5, .trim = 2, .flush = 5, .reopen = 4},
                       run.subject());
          SequenceSpec spec{aim_of(run.subject()), mix, run.sequence_options()};
          run_random_sequence(run, spec);
        },
    .seeded = true,
}};

}  // namespace
}  // namespace nbdcheck::checks::handle_reopen
