// The map that .extents draws of an export does not depend on how it is asked:
// walks in several strides, with and without REQ_ONE, must agree byte by byte
// (where pieces are cut is free).
#include <utility>
#include <vector>

#include "checks/sequence_check.hpp"
#include "execute/extent_map.hpp"

namespace nbdcheck::checks::extents_map {
namespace {

constexpr std::uint64_t window_size = 8U << 20;
struct Window {
  std::uint64_t begin;
  std::uint64_t end;
};

std::vector<Window> windows(const Aim& aim) {
  const std::uint64_t size = aim.size - aim.size % aim.block;
  if (size <= 2 * window_size) return {{0, size}};
  const std::uint64_t middle = size / 2 / window_size * window_size;
  return {{0, window_size}, {middle, middle + window_size}, {size - window_size, size}};
}

// Something to map: data, holes and zeroes of many sizes.
bool paint(CheckRun& run, SequenceRunner& sequence, const Aim& aim, const Window& window) {
  Aim part = aim;
  part.size = window.end - window.begin;
  const Mix mix = possible({.write = 50, .zero = 25, .trim = 25}, run.subject());
  if (mix.write == 0) return true;
  Generator generator(part, mix, run.random().next());
  for (int i = 0; i < 60; ++i) {
    Operation op = generator.next();
    if (!has_range(op.kind)) continue;
    op.offset += window.begin;
    if (!step(run, sequence, op)) return false;
  }
  return true;
}

void compare(CheckRun& run, Session& session, const Aim& aim, const Window& window) {
  MapWalker walker(session, run.subject().info.size, aim.block);
  auto violation = walker.look_for_changes(window.begin, window.end);
  for (const MapWalker::Style& style : MapWalker::styles) {
    if (violation || !run.budget_left()) break;
    violation = walker.compare(window.begin, window.end, style);
  }
  run.count_operations(walker.questions());
  if (violation) run.violated(*std::move(violation));
}

std::string not_applicable(const Subject& subject) {
  if (!maps_extents(subject)) return "no .extents";
  return needs_contents(subject);
}

const Registration registration{{
    .id = "extents.map",
    .summary = "the same map whatever the stride of the questions",
    .rules = {"extents.stable", "extents.no-error"},
    .weight = 0.5,
    .not_applicable = not_applicable,
    .run =
        [](CheckRun& run) {
          const auto server = run.serve();
          if (!server) return;
          on_connection_thread([&] {
            InProcessTarget target(*server);
            const Aim aim = aim_of(run.subject());
            for (const Window& window : windows(aim)) {
              SequenceOptions options = run.sequence_options();
              options.judge_contents = false;
              run.log().restart();
              SequenceRunner sequence(target, run.subject(), options);
              if (!step(run, sequence, {.kind = OpKind::open})) return;
              if (sequence.is_open(0) && paint(run, sequence, aim, window))
                compare(run, sequence.session(0), aim, window);
              if (run.found_any()) return;
            }
          });
          if (!run.found_any()) server->stop();
          run.report_incidents();
        },
    .seeded = true,
}};

}  // namespace
}  // namespace nbdcheck::checks::extents_map
