#include "checks/step_pairs.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

namespace nbdcheck {
namespace {

constexpr OpKind r = OpKind::read;
constexpr OpKind w = OpKind::write;
constexpr OpKind z = OpKind::zero;
constexpr OpKind t = OpKind::trim;

class Pairs {
 public:
  Pairs(const Subject& subject, const StepSpace& space) : subject_(subject), space_(space) {}

  std::vector<StepPair> all() {
    near();
    far();
    two_blocks();
    edges();
    others();
    cold();
    first_use();
    for (StepPair& pair : pairs_)
      if (subject_.thread_model != ThreadModel::parallel) pair.two_handles = true;
    if (subject_.thread_model == ThreadModel::parallel) on_two_handles();
    return std::move(pairs_);
  }

 private:
  [[nodiscard]] bool possible(const StepRequest& request) const {
    const ExportInfo& info = subject_.info;
    switch (request.kind) {
      case OpKind::write:
        return info.can_write && request.count > 0;
      case OpKind::zero:
        return info.zero != zero_none && info.can_write && request.count > 0;
      case OpKind::trim:
        return info.can_trim && info.can_write && request.count > 0;
      case OpKind::flush:
        return info.can_flush;
      case OpKind::extents:
        return info.can_extents;
      case OpKind::cache:
        return info.cache == cache_native;
      default:
        return true;
    }
  }

  void add(StepRequest a, StepRequest b, StepState state = StepState::filled,
           bool small_fill = false) {
    if (!possible(a) || !possible(b)) return;
    pairs_.push_back({a, b, state, small_fill, false});
  }
  void both_ways(StepRequest a, StepRequest b, StepState state = StepState::filled,
                 bool small_fill = false) {
    add(a, b, state, small_fill);
    add(b, a, state, small_fill);
  }

  [[nodiscard]] StepRequest block(OpKind kind, bool distant = false) const {
    return {kind, 0, static_cast<std::uint32_t>(space_.block), distant};
  }
  // The index-th sector of the block, or what goes for one.
  [[nodiscard]] StepRequest sector(OpKind kind, std::uint64_t index) const {
    return {kind, index * space_.unit, static_cast<std::uint32_t>(space_.unit), false};
  }
  // The blocks on both sides of the middle of the area.
  [[nodiscard]] StepRequest middle(OpKind kind) const {
    return {kind, space_.span / 2 - space_.block, static_cast<std::uint32_t>(2 * space_.block),
            false};
  }

  void near() {
    add(block(w), block(w));
    both_ways(block(r), block(w));
    both_ways(sector(w, 1), sector(w, 2));
    both_ways(block(w), sector(w, 1));
    both_ways(sector(r, 1), sector(w, 2), StepState::filled, true);
    both_ways(block(r), sector(w, 1), StepState::filled, true);
    both_ways(block(w), block(z));
    both_ways(sector(w, 1), sector(z, 2));
    both_ways(sector(w, 1), block(t));
    both_ways(block(r), block(t));
    both_ways(block(r), block(z));
    add(sector(z, 1), sector(z, 2));
    add(block(z), block(z));
    add(block(t), block(t));
  }

  void far() {
    for (const auto& [a, b] : {std::pair{r, r}, {w, w}, {w, r}, {r, w}})
      add(block(a), block(b, true));
    // More than a small cache keeps.
    const auto many = static_cast<std::uint32_t>(
        std::min(space_.longest, space_.areas * space_.span / space_.block * space_.block));
    add(block(r), {w, 0, many, true});
    add(sector(w, 1), {r, 0, many, true}, StepState::filled, true);
    add(sector(r, 1), {r, 0, many, true}, StepState::filled, true);
  }

  void two_blocks() {
    const StepRequest second{w, space_.span / 2, static_cast<std::uint32_t>(space_.block), false};
    const StepRequest first{w, space_.span / 2 - space_.block,
                            static_cast<std::uint32_t>(space_.block), false};
    add(middle(w), middle(w));
    both_ways(middle(w), middle(r));
    both_ways(middle(w), second);
    both_ways(middle(w), first);
    both_ways(middle(t), middle(w));
    both_ways(middle(z), middle(w));
  }

  // Where the plugin has to take a sector, or a word, apart.
  void edges() {
    if (subject_.minimum_block() > 1) return;
    both_ways({w, 64, 128, false}, {w, 256, 128, false});
    both_ways({w, 128, 256, false}, {w, 0, 512, false});
    both_ways({w, 64, 128, false}, {z, 256, 128, false});
    add({w, 1025, 2, false}, {w, 1029, 2, false});
  }

  void others() {
    const StepRequest flush{OpKind::flush, 0, 0, false};
    both_ways(flush, sector(w, 1), StepState::filled, true);
    both_ways(flush, block(w), StepState::filled, true);
    add(flush, flush, StepState::filled, true);
    add(flush, block(t), StepState::filled, true);
    both_ways(block(OpKind::cache), block(w));
    both_ways(block(OpKind::extents), block(w));
    both_ways(block(OpKind::extents), block(t));
    const StepRequest open{OpKind::open, 0, 0, false};
    const StepRequest close{OpKind::close, 0, 0, false};
    both_ways(open, close);
    for (const StepRequest& life : {open, close}) {
      add(life, life);
      both_ways(life, block(w));
      add(life, block(r));
      add(life, flush, StepState::filled, true);
    }
  }

  void cold() {
    both_ways(sector(w, 1), sector(w, 2), StepState::cold);
    const StepRequest next{w, space_.block, static_cast<std::uint32_t>(space_.block), false};
    add(block(w), next, StepState::cold);
    both_ways(sector(w, 1), sector(r, 1), StepState::cold);
    both_ways(sector(w, 1), sector(z, 2), StepState::cold);
    add(middle(w), middle(w), StepState::cold);
  }

  void first_use() {
    const StepRequest open{OpKind::open, 0, 0, false};
    add(sector(w, 1), sector(w, 2), StepState::first_use);
    both_ways(sector(w, 1), sector(r, 2), StepState::first_use);
    add(sector(r, 1), sector(r, 2), StepState::first_use);
    add(open, open, StepState::first_use);
  }

  // What is locked by the handle may be shared among handles.
  void on_two_handles() {
    const std::size_t count = pairs_.size();
    for (std::size_t i = 0; i < count; ++i) {
      StepPair pair = pairs_[i];
      if (pair.state != StepState::filled || pair.opens()) continue;
      pair.two_handles = true;
      pairs_.push_back(pair);
    }
  }

  const Subject& subject_;
  const StepSpace& space_;
  std::vector<StepPair> pairs_;
};

std::string text_of(const StepRequest& request) {
  std::string text(name(request.kind));
  if (request.count != 0)
    text += fmt::format(" {}+{}{}", request.offset, request.count, request.far ? " far off" : "");
  return text;
}

}  // namespace

bool StepPair::opens() const {
  const auto is_life = [](OpKind kind) { return kind == OpKind::open || kind == OpKind::close; };
  return is_life(a.kind) || is_life(b.kind);
}

StepSpace step_space(const Subject& subject) {
  StepSpace space;
  const std::uint64_t minimum = subject.minimum_block();
  space.unit = std::max<std::uint64_t>(512, minimum);
  space.block = std::max(8 * space.unit, std::uint64_t{4096});
  if (space.unit % minimum != 0 || minimum > 65536) return space;
  if (subject.maximum_request() < 2 * space.block) return space;
  space.longest = std::min(16 * space.block, subject.maximum_request() / space.block * space.block);
  const std::uint64_t half = subject.info.size / 2;
  const std::uint64_t smallest = 4 * space.block;
  if (half < smallest) return space;
  space.span = std::clamp(std::bit_floor(half / 16), smallest, std::uint64_t{1} << 20);
  space.areas = std::min<std::uint64_t>(half / space.span, 64);
  space.far = half / space.span * space.span;
  return space;
}

std::string StepPair::text() const { return first_text() + " / " + text_of(b); }

std::string StepPair::first_text() const {
  return fmt::format("{}{}{}", text_of(a),
                     state == StepState::filled ? (small_fill ? ", filled in pieces" : "")
                     : state == StepState::cold ? ", cold"
                                                : ", first use",
                     two_handles ? ", two connections" : "");
}

std::vector<StepPair> step_pairs(const Subject& subject, const StepSpace& space) {
  return Pairs(subject, space).all();
}

}  // namespace nbdcheck
