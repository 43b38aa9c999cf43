#include <algorithm>
#include <limits>

#include "judge/register_sector.hpp"

namespace nbdcheck {
namespace {

constexpr std::int64_t never = std::numeric_limits<std::int64_t>::min();

}  // namespace

std::optional<RegisterClash> RegularJudge::judge(std::span<const SectorOp> ops) {
  by_end_.clear();
  for (const SectorOp& op : ops)
    if (op.writes()) by_end_.push_back({op.value, op.begin, op.end, op.source, op.source});
  by_value_ = by_end_;
  std::sort(by_end_.begin(), by_end_.end(),
            [](const Write& a, const Write& b) { return a.end < b.end; });
  for (std::size_t i = 1; i < by_end_.size(); ++i)
    if (by_end_[i - 1].last->begin > by_end_[i].begin) by_end_[i].last = by_end_[i - 1].last;
  std::sort(by_value_.begin(), by_value_.end(), [](const Write& a, const Write& b) {
    return a.value != b.value ? a.value < b.value : a.begin < b.begin;
  });
  for (std::size_t i = 1; i < by_value_.size(); ++i)
    if (by_value_[i - 1].value == by_value_[i].value &&
        by_value_[i - 1].last->end > by_value_[i].end)
      by_value_[i].last = by_value_[i - 1].last;

  for (const SectorOp& read : ops) {
    if (read.writes()) continue;
    // Of the writes that ended before the read began, the one that began last:
    // whatever ended before that is overwritten.
    const auto ended = std::partition_point(by_end_.begin(), by_end_.end(),
                                            [&](const Write& w) { return w.end < read.begin; });
    const RegisterOp* overwriter = ended == by_end_.begin() ? nullptr : std::prev(ended)->last;
    const std::int64_t horizon = overwriter == nullptr ? never : overwriter->begin;
    if (read.value == 0 && overwriter == nullptr) continue;  // never written before

    const auto begun =
        std::partition_point(by_value_.begin(), by_value_.end(), [&](const Write& w) {
          return w.value != read.value ? w.value < read.value : w.begin <= read.end;
        });
    const bool any = begun != by_value_.begin() && std::prev(begun)->value == read.value;
    if (any && std::prev(begun)->last->end >= horizon) continue;

    if (any)
      return RegisterClash{
          "the read returns a value that was overwritten: between the write of it and the read, "
          "another write began and ended",
          {std::prev(begun)->last, overwriter, read.source}};
    if (read.value == 0)
      return RegisterClash{
          "the read returns 0, although a write had ended before it began and nothing wrote 0",
          {overwriter, read.source}};
    if (begun != by_value_.end() && begun->value == read.value)
      return RegisterClash{"the read returns a value before the write of it began",
                           {read.source, begun->source}};
    return RegisterClash{"the read returns a value that nobody wrote", {read.source}};
  }
  return std::nullopt;
}

}  // namespace nbdcheck
