// Two and three connections, one request at a time.
//
// With can_multi_conn they share the whole export and see each other's work
// after a flush; without it each keeps to a part of its own, because another
// open connection owes them nothing, and must find its own data unharmed.
#include "checks/sequence_check.hpp"

namespace nbdcheck {
namespace {

std::string one_at_a_time(const Subject& subject) {
  if (subject.thread_model == ThreadModel::serialize_connections)
    return "one connection at a time (serialize_connections)";
  return "";
}

std::string independent_not_applicable(const Subject& subject) {
  if (const auto why = one_at_a_time(subject); !why.empty()) return why;
  if (const auto why = needs_writing(subject); !why.empty()) return why;
  if (subject.info.size / subject.minimum_block() < 64) return "too small for two parts";
  return "";
}

std::string multi_conn_not_applicable(const Subject& subject) {
  if (const auto why = one_at_a_time(subject); !why.empty()) return why;
  if (!subject.info.advertises_multi_conn) return "no can_multi_conn";
  return needs_writing(subject);
}

const Registration independent{{
    .id = "handle.independent",
    .summary = "two open connections do not disturb each other",
    .rules = {"handle.independent"},
    .weight = 1,
    .not_applicable = independent_not_applicable,
    .run =
        [](CheckRun& run) {
          const Mix mix = possible(
              {.read = 45, .write = 40, .zero = 5, .trim = 2, .flush = 3, .reopen = 1},
              run.subject());
          SequenceSpec spec{aim_of(run.subject()), mix, run.sequence_options()};
          spec.aim.connections = 2;
          spec.aim.separate_parts = true;
          spec.options.lanes = true;
          run_random_sequence(run, spec);
        },
}};

const Registration multi_conn{{
    .id = "handle.multi-conn",
    .summary = "can_multi_conn: a flush makes work visible on every connection",
    .rules = {"handle.multi-conn"},
    .weight = 1,
    .not_applicable = multi_conn_not_applicable,
    .run =
        [](CheckRun& run) {
          const Mix mix = possible(
              {.read = 50, .write = 32, .zero = 4, .trim = 1, .flush = 12, .reopen = 1},
              run.subject());
          SequenceSpec spec{aim_of(run.subject()), mix, run.sequence_options()};
          spec.aim.connections = 3;
          // can_multi_conn promises one disk for all, whatever the probe saw.
          spec.options.rules.shared = true;
          spec.options.lanes = true;
          run_random_sequence(run, spec);
        },
}};

}  // namespace
}  // namespace nbdcheck
