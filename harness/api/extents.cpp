#include "nbdcheck/extents.hpp"

#include <algorithm>
#include <limits>

namespace nbdcheck {

ExtentList::ExtentList(std::uint64_t start, std::uint64_t end) : start_(start), end_(end) {}

// The sums below wrap on purpose: nbdkit computes them in 64 bits too, and a
// plugin whose lengths wrap must meet the same answers here as there.
ExtentList::Added ExtentList::add(std::uint64_t offset, std::uint64_t length, std::uint32_t type) {
  if (length == 0) return Added::ignored;

  // nbdkit keeps the expected offset in a signed word whose negative values
  // mean "anything goes": nothing yet, or a sum past 2^63-1.
  constexpr std::uint64_t largest = std::numeric_limits<std::int64_t>::max();
  if (!first_ && next_ <= largest && next_ != offset) return Added::not_contiguous;
  first_ = false;
  next_ = offset + length;

  if (offset >= end_) return Added::ignored;
  if (extents_.size() >= max_extents) return Added::dropped;
  if (offset + length > end_) length = end_ - offset;

  if (extents_.empty()) {
    if (offset + length <= start_) return Added::ignored;
    if (offset > start_) return Added::gap_at_start;
    length -= start_ - offset;
    offset = start_;
  }

  if (!extents_.empty() && extents_.back().type == type) {
    extents_.back().length += length;
  } else {
    extents_.push_back({offset, length, type});
  }
  return Added::kept;
}

std::vector<BlockDescriptor> to_block_descriptors(const ExtentList& list, std::uint64_t offset,
                                                  std::uint32_t count, bool req_one) {
  constexpr std::uint64_t longest = std::numeric_limits<std::uint32_t>::max();
  // Only the two standard bits travel; extents that differ in other bits stay
  // separate descriptors.
  const auto descriptor = [](const Extent& extent, std::uint64_t limit) {
    return BlockDescriptor{static_cast<std::uint32_t>(std::min(extent.length, limit)),
                           extent.type & (extent_type::hole | extent_type::zero)};
  };

  std::vector<BlockDescriptor> descriptors;
  const std::vector<Extent>& extents = list.extents();
  if (extents.empty()) return descriptors;
  if (req_one) {
    descriptors.push_back(descriptor(extents.front(), count));
    return descriptors;
  }
  // "Exceeds", not "reaches": a boundary exactly at the request's end lets one
  // more descriptor through.
  std::uint64_t position = offset;
  for (const Extent& extent : extents) {
    descriptors.push_back(descriptor(extent, longest));
    position += extent.length;
    if (position > offset + count) break;
  }
  return descriptors;
}

}  // namespace nbdcheck
