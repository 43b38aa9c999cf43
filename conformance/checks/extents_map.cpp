// The map that .extents draws of an export does not depend on how it is asked:
// walks in several strides, with and without REQ_ONE, must agree byte by byte
// (where pieces are cut is free).
#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <vector>

#include "checks/sequence_check.hpp"

namespace nbdcheck {
namespace {

constexpr std::uint64_t window_size = 8U << 20;
constexpr std::size_t most_questions = 4096;  // in one walk

struct Window {
  std::uint64_t begin;
  std::uint64_t end;
};

// Same type, merged: a map of a window.
using Map = std::vector<Extent>;

void append(Map& map, std::uint64_t begin, std::uint64_t end, std::uint32_t type) {
  if (begin >= end) return;
  type &= extent_type::hole | extent_type::zero;
  if (!map.empty() && map.back().type == type && map.back().offset + map.back().length == begin)
    map.back().length += end - begin;
  else
    map.push_back({begin, end - begin, type});
}

// Walks the window; empty when a question failed or there were too many.
Map walk(Session& session, const Window& window, std::uint64_t size, std::uint64_t stride,
         std::uint32_t flags, std::uint64_t& questions) {
  Map map;
  std::uint64_t at = window.begin;
  for (std::size_t asked = 0; at < window.end; ++asked) {
    if (asked == most_questions) return {};
    const auto count = static_cast<std::uint32_t>(std::min(stride, window.end - at));
    ExtentList list(at, size);
    ++questions;
    if (!session.extents(count, at, flags, list).ok() || list.extents().empty()) return {};
    const std::uint64_t start = at;
    for (const Extent& extent : list.extents()) {
      const std::uint64_t end = std::min(extent.offset + extent.length, start + count);
      append(map, std::max(extent.offset, at), end, extent.type);
      at = std::max(at, end);
      if (at >= start + count || (flags & command_flag::req_one) != 0) break;
    }
    if (at == start) return {};
  }
  return map;
}

// The first byte where two maps of the same window differ.  With `finer`, b was
// asked in smaller pieces: a plugin that finds zeroes by looking at its data
// finds more of them so, and was not wrong to call the whole piece data.
std::optional<std::pair<Extent, Extent>> difference(const Map& a, const Map& b,
                                                    bool finer = false) {
  std::size_t i = 0;
  std::size_t j = 0;
  while (i < a.size() && j < b.size()) {
    const bool looked_closer = finer && a[i].type == 0 && b[j].type == extent_type::zero;
    if (a[i].type != b[j].type && !looked_closer) return std::pair{a[i], b[j]};
    const std::uint64_t a_end = a[i].offset + a[i].length;
    const std::uint64_t b_end = b[j].offset + b[j].length;
    if (a_end <= b_end) ++i;
    if (b_end <= a_end) ++j;
  }
  return std::nullopt;
}

std::string words(const Extent& extent) {
  static constexpr const char* types[] = {"data", "HOLE", "ZERO", "HOLE|ZERO"};
  return fmt::format("[{}, {}) {}", extent.offset, extent.offset + extent.length,
                     types[extent.type & 3]);
}

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

// The same question again and again.  A file system at work below may change
// its map once in a while, not from each answer to the next.
bool fickle(CheckRun& run, const Window& window, const std::function<Map()>& ask) {
  constexpr int rounds = 8;
  constexpr int many = 4;
  Map last = ask();
  int changes = 0;
  for (int round = 0; round < rounds && !last.empty(); ++round) {
    Map map = ask();
    const auto found = difference(last, map);
    if (found && ++changes == many) {
      Violation v;
      v.rule = "extents.stable";
      v.message = fmt::format(
          "Asked for the map of [{}, {}) again and again, with nothing written between, .extents "
          "kept changing its answer.",
          window.begin, window.end);
      v.expected = words(found->first) + " (one answer)";
      v.actual = words(found->second) + " (the next)";
      run.violated(std::move(v));
      return true;
    }
    last = std::move(map);
  }
  return false;
}

void compare(CheckRun& run, Session& session, const Aim& aim, const Window& window) {
  const std::uint64_t size = run.subject().info.size;
  std::uint64_t questions = 0;
  const auto ask = [&](std::uint64_t stride, std::uint32_t flags) {
    stride = std::max(aim.block, stride / aim.block * aim.block);
    return walk(session, window, size, stride, flags, questions);
  };
  if (fickle(run, window, [&] { return ask(UINT32_MAX, 0); })) return;
  const Map whole = ask(UINT32_MAX, 0);
  struct Style {
    std::uint64_t stride;
    std::uint32_t flags;
  };
  for (const Style style :
       {Style{1U << 20, 0}, Style{65536, 0}, Style{36864 + 512, 0}, Style{8192, 0},
        Style{UINT32_MAX, command_flag::req_one}, Style{65536, command_flag::req_one}}) {
    if (!run.budget_left()) break;
    const Map map = ask(style.stride, style.flags);
    if (map.empty() || whole.empty()) continue;
    const auto found = difference(whole, map, true);
    // A map that changes by itself (a file system at work below) is no answer
    // to compare with.
    if (!found || difference(whole, ask(UINT32_MAX, 0))) continue;
    Violation v;
    v.rule = "extents.stable";
    v.message = fmt::format(
        "Asked for the map of [{}, {}) in one request and in requests of {} bytes{}, .extents gave "
        "different answers for the same bytes, with nothing written between.",
        window.begin, window.end, style.stride,
        (style.flags & command_flag::req_one) != 0 ? " with REQ_ONE" : "");
    v.expected = words(found->first) + " (asked at once)";
    v.actual = words(found->second) + " (asked in pieces)";
    run.violated(std::move(v));
    break;
  }
  run.count_operations(questions);
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
}};

}  // namespace
}  // namespace nbdcheck
