// Not random: at both ends of the export and at every power of two within it,
// a write, zero and trim that ends one byte before, at and after the boundary,
// with the neighbours looked at afterwards.  In a large export this is what
// visits the high offsets, and the low ones they would alias.
#include <algorithm>
#include <set>

#include "checks/sequence_check.hpp"

namespace nbdcheck::checks::data_boundaries {
namespace {

class Boundaries {
 public:
  Boundaries(const Subject& subject, const Aim& aim)
      : subject_(subject), aim_(aim), size_(aim.size - aim.size % aim.block) {}

  std::vector<Operation> operations() {
    operations_.push_back({.kind = OpKind::open});
    const auto places = boundaries();
    // First a mark at every place, so that an alias is seen whichever of the
    // two places is written first.
    for (const std::uint64_t place : places) around(OpKind::write, place, 64);
    for (const std::uint64_t place : places) around(OpKind::read, place, 64);
    for (const std::uint64_t place : places) {
      edge(OpKind::write, place);
      if (subject_.info.zero != zero_none) edge(OpKind::zero, place);
      if (subject_.info.can_trim) edge(OpKind::trim, place);
    }
    for (const std::uint64_t place : places) around(OpKind::read, place, 2048);
    return std::move(operations_);
  }

 private:
  std::vector<std::uint64_t> boundaries() const {
    std::set<std::uint64_t> places{0, size_};
    for (unsigned bit = 9; bit < 63; ++bit) {
      const std::uint64_t power = std::uint64_t{1} << bit;
      if (power >= size_) break;
      places.insert(power);
      // Where an offset with this bit cut off would land.
      places.insert(size_ - power);
      if (bit >= 31) places.insert((size_ / 2 / power * power) % size_);
    }
    return {places.begin(), places.end()};
  }

  void add(OpKind kind, std::uint64_t begin, std::uint64_t end) {
    begin = begin / aim_.block * aim_.block;
    end = std::min(size_, (end + aim_.block - 1) / aim_.block * aim_.block);
    end = std::min(end, begin + aim_.max_request / aim_.block * aim_.block);
    if (begin >= end) return;
    if (modifies(kind) && !subject_.info.can_write) return;
    Operation op{.kind = kind};
    op.offset = begin;
    op.count = static_cast<std::uint32_t>(end - begin);
    if (modifies(kind)) op.tag = tag_++;
    operations_.push_back(op);
  }

  void around(OpKind kind, std::uint64_t place, std::uint64_t reach) {
    add(kind, place - std::min(place, reach), std::min(size_, place + reach));
  }

  // Six requests that end or begin a byte (or a block) before, at and after.
  void edge(OpKind kind, std::uint64_t place) {
    const std::uint64_t unit = aim_.block;
    for (const std::uint64_t shift : {std::uint64_t{0}, unit, 2 * unit}) {
      const std::uint64_t at = place + shift;  // meant: place - unit, place, place + unit
      if (at < unit || at - unit > size_) continue;
      const std::uint64_t edge_at = at - unit;
      around(OpKind::write, place, 3 * 512);
      add(kind, edge_at - std::min<std::uint64_t>(edge_at, 700), edge_at);
      around(OpKind::read, place, 4 * 512);
      around(OpKind::write, place, 3 * 512);
      add(kind, edge_at, std::min(size_, edge_at + 700));
      around(OpKind::read, place, 4 * 512);
    }
  }

  const Subject& subject_;
  Aim aim_;
  std::uint64_t size_;
  std::uint32_t tag_ = 1;
  std::vector<Operation> operations_;
};

const Registration registration{{
    .id = "data.boundaries",
    .summary = "both sides of every power of two, and the ends of the export",
    .rules = {"data.read-your-writes", "data.nothing-outside", "zero.reads-zero",
              "zero.nothing-outside", "trim.nothing-outside", "data.readable"},
    .not_applicable = needs_contents,
    .run =
        [](CheckRun& run) {
          SequenceOptions options = run.sequence_options();
          options.rules.reopens = false;
          run_fixed_sequence(run, Boundaries(run.subject(), aim_of(run.subject())).operations(),
                             options);
        },
}};

}  // namespace
}  // namespace nbdcheck::checks::data_boundaries
