// Extents among writes, zeroes and trims: never called zero what is not.
#include "checks/sequence_check.hpp"

namespace nbdcheck::checks::extents_random {
namespace {

std::string not_applicable(const Subject& subject) {
  if (!maps_extents(subject)) return "no .extents";
  return needs_contents(subject);
}

const Registration registration{{
    .id = "extents.random",
    .summary = "extents among writes, zeroes and trims tell the truth",
    .rules = {"extents.no-lie", "extents.contiguous", "extents.first-at-offset", "extents.type",
              "extents.no-wrap", "extents.own-list"},
    .weight = 1,
    .not_applicable = not_applicable,
    .run =
        [](CheckRun& run) {
          const Mix mix = possible({.read = 10, .write = 20, .zero = 12, .trim = 12, .extents = 46},
                                   run.subject());
          SequenceSpec spec{aim_of(run.subject()), mix, run.sequence_options()};
          spec.options.rules.reopens = false;
          run_random_sequence(run, spec);
        },
    .seeded = true,
}};

}  // namespace
}  // namespace nbdcheck::checks::extents_random
