// Two and three connections, one request at a time.
//
// With can_multi_conn they share the whole export and see each other's work
// after a flush; without it each keeps to a part of its own, because another
// open connection owes them nothing, and must find its own data unharmed.
#include "checks/sequence_check.hpp"

namespace nbdcheck::checks::handle_connections {
namespace {

std::string independent_not_applicable(const Subject& subject) {
  if (const auto why = needs_two_connections(subject); !why.empty()) return why;
  if (const auto why = needs_writing(subject); !why.empty()) return why;
  if (subject.info.size / subject.minimum_block() < 64) return "too small for two parts";
  return "";
}

std::string multi_conn_not_applicable(const Subject& subject) {
  if (const auto why = needs_two_connections(subject); !why.empty()) return why;
  if (!subject.info.advertises_multi_conn) return "no can_multi_conn";
  return needs_writing(subject);
}

// One connection writes, one flushes, one reads that has read before: every way
// to share out these parts.
std::vector<Operation> made_visible(const Aim& aim, const Subject& subject) {
  const auto connections = static_cast<std::uint8_t>(aim.connections);
  const auto count = static_cast<std::uint32_t>(aim.typical_length);
  std::vector<Operation> operations;
  std::uint32_t tag = 1U << 31;  // the generator counts from 1
  const auto add = [&](OpKind kind, std::uint8_t connection, std::uint64_t offset = 0) {
    Operation op{.kind = kind, .connection = connection};
    if (has_range(kind)) {
      op.offset = offset;
      op.count = count;
    }
    if (modifies(kind)) op.tag = tag++;
    operations.push_back(op);
  };
  for (std::uint8_t c = 0; c < connections; ++c) add(OpKind::open, c);
  if (aim.size < count || !subject.info.can_flush) return operations;
  for (std::uint8_t writer = 0; writer < connections; ++writer)
    for (std::uint8_t flusher = 0; flusher < connections; ++flusher)
      for (std::uint8_t reader = 0; reader < connections; ++reader)
        for (const std::uint64_t offset :
             {std::uint64_t{0}, aim.size / aim.block / 2 * aim.block}) {
          if (aim.size - offset < count) continue;
          add(OpKind::read, reader, offset);
          add(OpKind::write, writer, offset);
          add(OpKind::flush, flusher);
          add(OpKind::read, reader, offset);
        }
  return operations;
}

const Registration independent{{
    .id = "handle.independent",
    .summary = "two open connections do not disturb each other",
    .rules = {"handle.independent"},
    .weight = 1,
    .not_applicable = independent_not_applicable,
    .run =
        [](CheckRun& run) {
          const Mix mix =
              possible({.read = 45, .write = 40, .zero = 5, .trim = 2, .flush = 3, .reopen = 1},
                       run.subject());
          SequenceSpec spec{aim_of(run.subject()), mix, run.sequence_options()};
          spec.aim.connections = 2;
          spec.aim.separate_parts = true;
          spec.options.lanes = true;
          run_random_sequence(run, spec);
        },
    .seeded = true,
}};

const Registration multi_conn{{
    .id = "handle.multi-conn",
    .summary = "can_multi_conn: a flush makes work visible on every connection",
    .rules = {"handle.multi-conn"},
    .weight = 1,
    .not_applicable = multi_conn_not_applicable,
    .run =
        [](CheckRun& run) {
          const Mix mix =
              possible({.read = 50, .write = 32, .zero = 4, .trim = 1, .flush = 12, .reopen = 1},
                       run.subject());
          SequenceSpec spec{aim_of(run.subject()), mix, run.sequence_options()};
          spec.aim.connections = run.subject().together(3);
          // can_multi_conn promises one disk for all, whatever the probe saw.
          spec.options.rules.shared = true;
          spec.options.lanes = true;
          spec.first = made_visible(spec.aim, run.subject());
          run_random_sequence(run, spec);
        },
    .seeded = true,
}};

}  // namespace
}  // namespace nbdcheck::checks::handle_connections
