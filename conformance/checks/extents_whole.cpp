// One question about as much of the export as a request may cover.
#include <algorithm>

#include "checks/client.hpp"
#include "checks/sequence_check.hpp"

namespace nbdcheck::checks::extents_whole {
namespace {

std::string not_applicable(const Subject& subject) {
  if (!maps_extents(subject)) return "no .extents";
  return needs_contents(subject);
}

const Registration registration{{
    .id = "extents.whole",
    .summary = "the whole map in one request",
    .rules = {"extents.cost", "extents.no-error"},
    .not_applicable = not_applicable,
    .run =
        [](CheckRun& run) {
          const std::uint64_t block = run.subject().minimum_block();
          const std::uint64_t size = run.subject().info.size / block * block;
          run_fixed_sequence(run,
                             {{.kind = OpKind::open},
                              {.kind = OpKind::extents,
                               .count = static_cast<std::uint32_t>(
                                   std::min<std::uint64_t>(size, UINT32_MAX / block * block))}},
                             run.sequence_options());
        },
}};

}  // namespace
}  // namespace nbdcheck::checks::extents_whole
