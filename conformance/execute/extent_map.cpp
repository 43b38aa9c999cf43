#include "execute/extent_map.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <string>
#include <utility>

namespace nbdcheck {
namespace {

constexpr std::size_t most_questions = 4096;  // in one walk

// Neighbours of one type merged.
using Map = std::vector<Extent>;

void append(Map& map, std::uint64_t begin, std::uint64_t end, std::uint32_t type) {
  if (begin >= end) return;
  type &= extent_type::hole | extent_type::zero;
  if (!map.empty() && map.back().type == type && map.back().offset + map.back().length == begin)
    map.back().length += end - begin;
  else
    map.push_back({begin, end - begin, type});
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

}  // namespace

// Empty when a question failed or there were too many.
Map MapWalker::ask(std::uint64_t begin, std::uint64_t end, const Style& style) {
  const std::uint64_t stride = std::max(block_, style.stride / block_ * block_);
  Map map;
  std::uint64_t at = begin;
  for (std::size_t asked = 0; at < end; ++asked) {
    if (asked == most_questions) return {};
    const auto count = static_cast<std::uint32_t>(std::min(stride, end - at));
    ExtentList list(at, size_);
    ++questions_;
    if (!session_.extents(count, at, style.flags, list).ok() || list.extents().empty()) return {};
    const std::uint64_t start = at;
    for (const Extent& extent : list.extents()) {
      const std::uint64_t piece_end = std::min(extent.offset + extent.length, start + count);
      append(map, std::max(extent.offset, at), piece_end, extent.type);
      at = std::max(at, piece_end);
      if (at >= start + count || (style.flags & command_flag::req_one) != 0) break;
    }
    if (at == start) return {};
  }
  return map;
}

// A file system at work below may change its map once in a while, not from each
// answer to the next.
std::optional<Violation> MapWalker::look_for_changes(std::uint64_t begin, std::uint64_t end) {
  constexpr int rounds = 8;
  constexpr int many = 4;
  Map last = ask(begin, end);
  int changes = 0;
  for (int round = 0; round < rounds && !last.empty(); ++round) {
    Map map = ask(begin, end);
    const auto found = difference(last, map);
    if (found && ++changes == many) {
      Violation v;
      v.rule = "extents.stable";
      v.message = fmt::format(
          "Asked for the map of [{}, {}) again and again, with nothing written between, .extents "
          "kept changing its answer.",
          begin, end);
      v.expected = words(found->first) + " (one answer)";
      v.actual = words(found->second) + " (the next)";
      return v;
    }
    last = std::move(map);
  }
  return std::nullopt;
}

std::optional<Violation> MapWalker::compare(std::uint64_t begin, std::uint64_t end,
                                            const Style& style) {
  const Map whole = ask(begin, end);
  const Map map = ask(begin, end, style);
  if (map.empty() || whole.empty()) return std::nullopt;
  const auto found = difference(whole, map, true);
  // A map that changes by itself (a file system at work below) is no answer to
  // compare with.
  if (!found || difference(whole, ask(begin, end))) return std::nullopt;
  Violation v;
  v.rule = "extents.stable";
  v.message = fmt::format(
      "Asked for the map of [{}, {}) in one request and in requests of {} bytes{}, .extents gave "
      "different answers for the same bytes, with nothing written between.",
      begin, end, style.stride, (style.flags & command_flag::req_one) != 0 ? " with REQ_ONE" : "");
  v.expected = words(found->first) + " (asked at once)";
  v.actual = words(found->second) + " (asked in pieces)";
  return v;
}

}  // namespace nbdcheck
