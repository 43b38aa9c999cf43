#include "plan/generate.hpp"

#include <algorithm>
#include <iterator>

namespace nbdcheck {
namespace {

constexpr std::size_t recent_size = 24;
// Longer reads and writes cost memory here and in the plugin and find little
// more; data.large has them.
constexpr std::uint64_t most_moved = 1U << 20;
// In a large export there are more than a hundred places to come back to.
constexpr std::uint64_t large_export = 64U << 20;
constexpr std::uint64_t most_written = 1U << 18;

// Order of the weights.
constexpr std::array kinds = {OpKind::read,  OpKind::write, OpKind::zero,    OpKind::trim,
                              OpKind::flush, OpKind::cache, OpKind::extents, OpKind::close};

std::uint64_t saturating_sub(std::uint64_t a, std::uint64_t b) { return a > b ? a - b : 0; }

}  // namespace

Generator::Generator(const Aim& aim, const Mix& mix, std::uint64_t seed)
    : aim_(aim), random_(seed), weights_{mix.read,  mix.write, mix.zero,    mix.trim,
                                         mix.flush, mix.cache, mix.extents, mix.reopen} {
  // A last partial block cannot be addressed.
  aim_.size -= aim_.size % aim_.block;
  for (const unsigned weight : weights_) total_weight_ += weight;

  add_anchor(0);
  add_anchor(aim_.size);
  for (unsigned bit = 9; bit < 63; ++bit) {
    const std::uint64_t power = std::uint64_t{1} << bit;
    if (power >= aim_.size) break;
    add_anchor(power);
    add_anchor(aim_.size - power);
  }
  // Chunk boundaries of the usual sizes, and places of no distinction.
  for (const std::uint64_t chunk : {4096ULL, 32768ULL, 65536ULL, 1048576ULL})
    for (int i = 0; i < 4; ++i) add_anchor(random_.below(aim_.size / chunk + 1) * chunk);
  for (int i = 0; i < 8; ++i) {
    const std::uint64_t place = random_.below(aim_.size);
    add_anchor(place);
    // Where `place` lands when an offset is cut to 31 or 32 bits.
    if (place >= 1ULL << 31) add_anchor(place & 0x7fffffff);
    if (place >= 1ULL << 32) add_anchor(place & 0xffffffff);
  }
  for (unsigned i = 0; i < aim_.connections; ++i)
    queue_.push_back(
        {.kind = OpKind::open, .connection = static_cast<std::uint8_t>(aim_.connections - 1 - i)});
}

void Generator::add_anchor(std::uint64_t offset) {
  if (offset <= aim_.size) anchors_.push_back(offset);
}

Generator::Part Generator::part_of(unsigned connection) const {
  if (!aim_.separate_parts) return {0, aim_.size};
  // A gap between the parts: caches may work in larger pieces.
  const std::uint64_t width = aim_.size / aim_.connections / aim_.block * aim_.block;
  const std::uint64_t gap = std::min<std::uint64_t>(width / 4, 1U << 20) / aim_.block * aim_.block;
  const std::uint64_t begin = width * connection;
  return {begin, begin + width - gap};
}

OpKind Generator::pick_kind() {
  std::uint64_t draw = random_.below(total_weight_);
  for (std::size_t i = 0; i < weights_.size(); ++i) {
    if (draw < weights_[i]) return kinds[i];
    draw -= weights_[i];
  }
  return OpKind::read;
}

std::uint64_t Generator::pick_length(OpKind kind) {
  const bool cheap = kind == OpKind::zero || kind == OpKind::trim || kind == OpKind::cache ||
                     kind == OpKind::extents;
  const std::uint64_t draw = random_.below(1000);
  if (draw < 150) return random_.between(1, 16);
  if (draw < 300) return random_.between(1, 600);
  if (draw < 600) {
    const std::uint64_t sectors = 512 * random_.between(1, 8);
    return random_.percent(30) ? sectors + random_.between(0, 2) - 1 : sectors;
  }
  if (draw < 880) return aim_.typical_length;
  if (draw < 980) return random_.logarithmic(4096, 65536);
  if (draw < 998) return random_.logarithmic(65536, cheap ? 4U << 20 : 262144);
  return random_.logarithmic(262144, cheap ? 64U << 20 : 1U << 20);
}

Generator::Range Generator::fit(std::uint64_t offset, std::uint64_t count, const Part& part) const {
  const std::uint64_t begin = (part.begin + aim_.block - 1) / aim_.block * aim_.block;
  const std::uint64_t last = part.end / aim_.block * aim_.block;
  offset = std::clamp(offset, begin, last - aim_.block) / aim_.block * aim_.block;
  count = std::max<std::uint64_t>(count, 1);
  count = (count + aim_.block - 1) / aim_.block * aim_.block;
  return {offset, std::min(count, last - offset)};
}

Generator::Range Generator::pick_range(OpKind kind, unsigned connection) {
  const Part part = part_of(connection);
  std::uint64_t length = pick_length(kind);
  std::uint64_t offset = 0;
  const unsigned draw = static_cast<unsigned>(random_.below(100));
  const bool looks = !modifies(kind);
  const bool moves_data = kind == OpKind::read || kind == OpKind::write;
  if (!recent_.empty() && draw < (looks ? 60U : 30U)) {
    const Range& near = recent_[random_.below(recent_.size())];
    switch (random_.below(looks ? 5 : 6)) {
      case 0:  // the same range
        offset = near.offset;
        length = near.count;
        break;
      case 1: {  // it and a margin on each side
        const std::uint64_t margin = random_.logarithmic(1, 4096);
        offset = saturating_sub(near.offset, margin);
        length = near.count + margin + (near.offset - offset);
        break;
      }
      case 2:  // begins where it ends
        offset = near.offset + near.count;
        break;
      case 3:  // ends where it begins
        offset = saturating_sub(near.offset, length);
        break;
      case 4:  // overlaps its end
        offset = near.offset + near.count - std::min(near.count, random_.between(1, length));
        break;
      default:  // lies inside
        offset = near.offset + random_.below(near.count);
        length = std::min(length, near.offset + near.count - offset);
        break;
    }
    // A large neighbour must not make every later request large.
    if (!modifies(kind) && length > most_moved && random_.percent(90)) length = 65536;
  } else if (draw < 90) {
    const std::uint64_t anchor = anchors_[random_.below(anchors_.size())];
    const std::uint64_t step = random_.percent(50) ? 1 : aim_.block * random_.between(0, 2);
    switch (random_.below(6)) {
      case 0:
        offset = anchor;
        break;
      case 1:
        offset = anchor + step;
        break;
      case 2:
        offset = saturating_sub(anchor, step);
        break;
      case 3:  // ends at the boundary, one before, one after
        offset = saturating_sub(anchor + random_.between(0, 2), length + 1);
        break;
      case 4:  // straddles it
        offset = saturating_sub(anchor, random_.between(0, length));
        break;
      default:
        offset = anchor + random_.logarithmic(1, 65536);
        break;
    }
  } else {
    // Anywhere, in a small export; near an anchor, in a large one, so that the
    // plugin's memory stays bounded.
    offset = aim_.size <= large_export
                 ? random_.below(aim_.size)
                 : saturating_sub(anchors_[random_.below(anchors_.size())] + 65536,
                                  random_.below(131072));
  }
  if (kind == OpKind::write && aim_.size > large_export)
    length = std::min(length, std::max(aim_.block, most_written));
  if (moves_data) length = std::min({length, most_moved, std::max(aim_.block, aim_.max_request)});
  if (aim_.separate_parts && (offset < part.begin || offset >= part.end))
    offset = part.begin + offset % (part.end - part.begin);
  Range range = fit(offset, length, part);
  if (moves_data) range.count = std::min(range.count, aim_.max_request / aim_.block * aim_.block);
  range.count = std::min<std::uint64_t>(range.count, UINT32_MAX / aim_.block * aim_.block);
  return range;
}

Operation Generator::next() {
  if (!queue_.empty()) {
    const Operation op = queue_.back();
    queue_.pop_back();
    return op;
  }
  Operation op;
  op.kind = pick_kind();
  op.connection =
      static_cast<std::uint8_t>(aim_.connections == 1 ? 0 : random_.below(aim_.connections));
  if (op.kind == OpKind::close) {
    Operation open{.kind = OpKind::open, .connection = op.connection};
    queue_.push_back(open);
    if (!random_.percent(70) || weights_[4] == 0) return op;
    queue_.push_back(op);
    op.kind = OpKind::flush;
    return op;
  }
  if (!has_range(op.kind)) return op;
  const Range range = pick_range(op.kind, op.connection);
  op.offset = range.offset;
  op.count = static_cast<std::uint32_t>(range.count);
  if (modifies(op.kind)) {
    op.tag = next_tag_++;
    if (aim_.can_fua && random_.percent(10)) op.flags |= command_flag::fua;
    if (recent_.size() < recent_size) {
      recent_.push_back(range);
    } else {
      recent_[recent_next_++ % recent_size] = range;
    }
  }
  if (op.kind == OpKind::write && random_.percent(8))
    op.payload = random_.percent(70) ? Payload::zeroes : Payload::ones;
  if (op.kind == OpKind::zero) {
    if (random_.percent(30)) op.flags |= command_flag::no_hole;
    if (aim_.can_fast_zero && random_.percent(20)) op.flags |= command_flag::fast_zero;
  }
  if (op.kind == OpKind::extents && random_.percent(30)) op.flags |= command_flag::req_one;
  if (modifies(op.kind) && op.count <= std::min<std::uint64_t>(65536, aim_.max_request) &&
      weights_[0] != 0 && random_.percent(12)) {
    // Read before and after: what a cache of the last read has to forget.
    Operation look{.kind = OpKind::read, .connection = op.connection};
    look.offset = op.offset;
    look.count = op.count;
    queue_.push_back(look);
    queue_.push_back(op);
    return look;
  }
  return op;
}

}  // namespace nbdcheck
