// Random trims among reads, writes and zeroes: what is trimmed may read as
// anything, but nothing else may change, and what is written afterwards stays.
#include "checks/sequence_check.hpp"

namespace nbdcheck::checks::trim_random {
namespace {

std::string not_applicable(const Subject& subject) {
  if (!subject.info.can_write) return "read-only";
  if (!subject.info.can_trim) return "no .trim";
  return needs_writing(subject);
}

const Registration registration{{
    .id = "trim.random",
    .summary = "random trims among reads, writes and zeroes",
    .rules = {"trim.nothing-outside", "data.readable"},
    .weight = 2,
    .not_applicable = not_applicable,
    .run =
        [](CheckRun& run) {
          const Mix mix =
              possible({.read = 40, .write = 30, .zero = 5, .trim = 22, .flush = 2}, run.subject());
          SequenceSpec spec{aim_of(run.subject()), mix, run.sequence_options()};
          spec.options.rules.reopens = false;
          run_random_sequence(run, spec);
        },
    .seeded = true,
}};

}  // namespace
}  // namespace nbdcheck::checks::trim_random
