#include "execute/readable.hpp"

#include <algorithm>
#include <bit>

namespace nbdcheck {
namespace {

constexpr std::uint64_t smallest_sector = 512;
constexpr std::uint64_t per_group = 64;
// Some 16 MB; then what is new is not noted.
constexpr std::size_t most_groups = 1U << 18;
// Up to here, 128 MiB, no search for groups: every request asks.
constexpr std::uint64_t few_groups = 4096;

// Bits [first, end) of the group.
std::uint64_t bits(std::uint64_t group, std::uint64_t first, std::uint64_t end) {
  const std::uint64_t begin = group * per_group;
  const std::uint64_t from = std::max(first, begin) - begin;
  const std::uint64_t to = std::min(end, begin + per_group) - begin;
  const std::uint64_t below = to == per_group ? ~std::uint64_t{0} : (std::uint64_t{1} << to) - 1;
  return below & (~std::uint64_t{0} << from);
}

}  // namespace

Readable::Readable(std::uint64_t size, std::uint64_t block)
    : size_(size), length_(std::max(smallest_sector, block)) {
  const std::uint64_t groups = size / (length_ * per_group) + 1;
  if (groups <= few_groups) all_.resize(groups);
}

const Readable::Group* Readable::find(std::uint64_t number) const {
  if (!all_.empty()) return number < all_.size() ? &all_[number] : nullptr;
  const auto found = groups_.find(number);
  return found == groups_.end() ? nullptr : &found->second;
}

Readable::Range Readable::sector(std::uint64_t number) const {
  const std::uint64_t offset = number * length_;
  return {offset, static_cast<std::uint32_t>(std::min(length_, size_ - offset))};
}

// The last one may be shorter.
std::uint64_t Readable::whole_sectors_end(std::uint64_t end) const {
  return end >= size_ ? (size_ + length_ - 1) / length_ : end / length_;
}

template <typename Visit>
void Readable::for_each_group(std::uint64_t first, std::uint64_t end, bool add,
                              const Visit& visit) {
  if (first >= end) return;
  const std::uint64_t last = (end - 1) / per_group;
  if (!all_.empty()) {
    for (std::uint64_t number = first / per_group; number <= last && number < all_.size(); ++number)
      visit(all_[number], bits(number, first, end));
    return;
  }
  if (!add && last - first / per_group > groups_.size()) {
    for (auto& [number, group] : groups_)
      if (first / per_group <= number && number <= last) visit(group, bits(number, first, end));
    return;
  }
  for (std::uint64_t number = first / per_group; number <= last; ++number) {
    auto found = groups_.find(number);
    if (found == groups_.end()) {
      if (!add || groups_.size() >= most_groups) continue;
      found = groups_.try_emplace(number).first;
    }
    visit(found->second, bits(number, first, end));
  }
}

void Readable::was_read(std::uint64_t offset, std::uint64_t count) {
  for_each_group((offset + length_ - 1) / length_, whole_sectors_end(offset + count), true,
                 [](Group& group, std::uint64_t mask) { group.read |= mask; });
}

void Readable::was_changed(std::uint64_t offset, std::uint64_t count) {
  for_each_group(offset / length_, (offset + count + length_ - 1) / length_, false,
                 [](Group& group, std::uint64_t mask) { group.changed |= mask & group.read; });
}

void Readable::forget(std::uint64_t offset, std::uint64_t count) {
  for_each_group(offset / length_, (offset + count + length_ - 1) / length_, false,
                 [](Group& group, std::uint64_t mask) {
                   group.read &= ~mask;
                   group.changed &= ~mask;
                 });
}

std::vector<Readable::Range> Readable::changed(std::uint64_t offset, std::uint64_t count,
                                               std::size_t most) const {
  std::vector<Range> found;
  const std::uint64_t first = (offset + length_ - 1) / length_;
  const std::uint64_t end = whole_sectors_end(offset + count);
  for (std::uint64_t number = first; number < end && found.size() < most; ++number) {
    const Group* const group = find(number / per_group);
    if (group == nullptr)
      number = (number / per_group + 1) * per_group - 1;
    else if (((group->read & group->changed) >> (number % per_group) & 1) != 0)
      found.push_back(sector(number));
  }
  return found;
}

std::vector<Readable::Range> Readable::others(std::uint64_t offset, std::uint64_t count,
                                              std::size_t most) const {
  const std::uint64_t first = offset / length_;
  const std::uint64_t end = (offset + count + length_ - 1) / length_;
  std::vector<std::uint64_t> numbers;
  const auto look = [&](std::uint64_t number, const Group& group) {
    const bool near = first < (number + 1) * per_group && number * per_group < end;
    const std::uint64_t known =
        near ? group.read & ~(group.changed & bits(number, first, end)) : group.read;
    if (known == 0) return;
    numbers.push_back(number * per_group + static_cast<unsigned>(std::countr_zero(known)));
    numbers.push_back(number * per_group + 63 - static_cast<unsigned>(std::countl_zero(known)));
  };
  for (std::size_t number = 0; number < all_.size(); ++number) look(number, all_[number]);
  for (const auto& [number, group] : groups_) look(number, group);
  // The order of the map is not the same everywhere.
  std::ranges::sort(numbers);
  numbers.erase(std::unique(numbers.begin(), numbers.end()), numbers.end());
  std::vector<Range> found;
  const std::size_t step =
      std::max<std::size_t>(1, numbers.size() / std::max<std::size_t>(most, 1));
  for (std::size_t i = 0; i < numbers.size() && found.size() < most; i += step)
    found.push_back(sector(numbers[i]));
  return found;
}

}  // namespace nbdcheck
