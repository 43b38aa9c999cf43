#include "plan/shrink.hpp"

#include <algorithm>
#include <utility>
#include <vector>

#include "plan/attempts.hpp"

namespace nbdcheck {
namespace {

using Operations = std::vector<Operation>;

class Shrinker : private Attempts {
 public:
  using Attempts::Attempts;

  Shrunk run() {
    if (!fails(best_)) return result(false, false);
    if (best_.operations.empty()) return result(true, false);
    slice();
    one_connection();
    for (bool smaller = true; smaller && !exhausted();) {
      smaller = remove_pieces();
      smaller = simplify_each() || smaller;
    }
    move_down();
    return result(true, !exhausted());
  }

 private:
  // Long plans first: what touches the place of the fault, then the last few
  // operations, before anything is tried one by one.
  void slice() {
    const Operations all = best_.operations;
    if (all.size() < 8) return;
    const Operation last = all.back();
    for (const std::uint64_t reach :
         {std::uint64_t{0}, std::uint64_t{4096}, std::uint64_t{1} << 20}) {
      if (!has_range(last.kind)) break;
      Operations near;
      for (const Operation& op : all)
        if (!has_range(op.kind) || touches(op, last, reach)) near.push_back(op);
      if (near.size() < all.size() && attempt(near)) break;
    }
    const Operations base = best_.operations;
    for (std::size_t keep = 2; keep < base.size() / 2; keep *= 4) {
      Operations tail;
      for (std::size_t i = 0; i < base.size(); ++i)
        if (i + keep >= base.size() || base[i].kind == OpKind::open) tail.push_back(base[i]);
      if (attempt(tail)) return;
    }
  }

  // A fault that needs no second connection is better shown on one.
  void one_connection() {
    Operations merged;
    bool open = false;
    for (Operation op : best_.operations) {
      if (op.kind == OpKind::close) continue;
      if (op.kind == OpKind::open && std::exchange(open, true)) continue;
      op.connection = 0;
      merged.push_back(op);
    }
    if (merged != best_.operations) attempt(merged);
  }

  static bool touches(const Operation& op, const Operation& last, std::uint64_t reach) {
    const std::uint64_t begin = last.offset - std::min(last.offset, reach);
    const std::uint64_t end = last.offset + last.count + reach;
    return op.offset < end && begin < op.offset + op.count;
  }

  // Removes pieces of half the size, a quarter, ... one operation.
  bool remove_pieces() {
    bool any = false;
    for (std::size_t piece = std::max<std::size_t>(best_.operations.size() / 2, 1); piece >= 1;
         piece /= 2) {
      // From the end: late operations are less often needed by others.  The
      // last one is the witness and stays.
      std::size_t end = best_.operations.size() - 1;
      while (end > 0 && !exhausted()) {
        const std::size_t begin = end > piece ? end - piece : 0;
        Operations without = best_.operations;
        without.erase(without.begin() + static_cast<std::ptrdiff_t>(begin),
                      without.begin() + static_cast<std::ptrdiff_t>(end));
        if (attempt(without)) any = true;
        end = begin;
      }
      if (piece == 1) break;
    }
    return any;
  }

  template <typename Change>
  bool change(std::size_t i, Change&& how) {
    Operations candidate = best_.operations;
    how(candidate[i]);
    return candidate[i] != best_.operations[i] && attempt(candidate);
  }

  bool simplify_each() {
    bool any = false;
    for (std::size_t i = 0; i < best_.operations.size() && !exhausted(); ++i) {
      const Operation op = best_.operations[i];
      // What a write shows as well is no matter of zero or trim.
      if ((op.kind == OpKind::zero || op.kind == OpKind::trim) && op.count <= max_request_size)
        any = change(i,
                     [](Operation& o) {
                       o.kind = OpKind::write;
                       o.flags = 0;
                     }) ||
              any;
      if (op.flags != 0) any = change(i, [](Operation& o) { o.flags = 0; }) || any;
      if (op.payload != Payload::tags)
        any = change(i, [](Operation& o) { o.payload = Payload::tags; }) || any;
      if (has_range(op.kind)) any = shorten(i) || any;
    }
    return any;
  }

  // Shorter from the end, then from the start, keeping round numbers.
  bool shorten(std::size_t i) {
    bool any = false;
    for (const std::uint32_t size : {1U, 512U, 4096U, 65536U, 1U << 20}) {
      const Operation op = best_.operations[i];
      if (size >= op.count) break;
      if (change(i, [&](Operation& o) { o.count = size; })) return true;
      if (change(i, [&](Operation& o) {
            o.offset += o.count - size;
            o.count = size;
          }))
        return true;
    }
    for (int round = 0; round < 20 && best_.operations[i].count > 1 && !exhausted(); ++round) {
      const std::uint32_t half = best_.operations[i].count / 2;
      if (change(i, [&](Operation& o) { o.count = half; }) || change(i, [&](Operation& o) {
            o.offset += o.count - half;
            o.count = half;
          }))
        any = true;
      else
        break;
    }
    return any;
  }

  // The whole scene towards offset 0, by round distances.
  void move_down() {
    for (const std::uint64_t unit :
         {std::uint64_t{1} << 32, std::uint64_t{1} << 20, std::uint64_t{65536}, std::uint64_t{4096},
          std::uint64_t{512}}) {
      std::uint64_t lowest = UINT64_MAX;
      for (const Operation& op : best_.operations)
        if (has_range(op.kind)) lowest = std::min(lowest, op.offset);
      if (lowest == UINT64_MAX || lowest < unit) continue;
      Operations moved = best_.operations;
      for (Operation& op : moved)
        if (has_range(op.kind)) op.offset -= lowest / unit * unit;
      attempt(moved);
    }
  }
};

}  // namespace

Shrunk shrink(Plan plan, const std::function<bool(const Plan&)>& fails,
              const ShrinkLimits& limits) {
  return Shrinker(std::move(plan), fails, limits).run();
}

}  // namespace nbdcheck
