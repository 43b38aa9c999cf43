// Buffers that bite: exactly sized between guard pages, poisoned, read-only
// for .pwrite, gone after the callback returned.
#include "checks/sequence_check.hpp"

namespace nbdcheck::checks::data_buffers {
namespace {

void run_with(CheckRun& run, BufferMode mode) {
  const Mix mix = possible({.read = 50, .write = 40, .zero = 4, .trim = 2, .flush = 2, .cache = 2},
                           run.subject());
  SequenceSpec spec{aim_of(run.subject()), mix, run.sequence_options()};
  spec.options.rules.reopens = false;
  spec.options.buffers = mode;
  run_random_sequence(run, spec);
}

const Registration guarded{{
    .id = "data.buffers",
    .summary = "guarded, poisoned and short-lived buffers",
    .rules = {"data.buffer-overrun", "data.buffer-filled", "data.buffer-modified",
              "data.buffer-kept"},
    .weight = 1,
    .not_applicable = needs_contents,
    .run = [](CheckRun& run) { run_with(run, BufferMode::guarded); },
    .buffers = BufferMode::guarded,
    .seeded = true,
}};

const Registration odd{{
    .id = "data.odd-buffers",
    .summary = "the same with buffers at odd addresses",
    .rules = {"data.buffer-alignment", "data.buffer-overrun"},
    .weight = 1,
    .not_applicable = needs_contents,
    .run = [](CheckRun& run) { run_with(run, BufferMode::guarded_odd); },
    .buffers = BufferMode::guarded_odd,
    .seeded = true,
}};

}  // namespace
}  // namespace nbdcheck::checks::data_buffers
