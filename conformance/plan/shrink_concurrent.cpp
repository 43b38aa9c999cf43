#include "plan/shrink_concurrent.hpp"

#include <algorithm>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "plan/attempts.hpp"

namespace nbdcheck {
namespace {

using Operations = std::vector<Operation>;

class ConcurrentShrinker : private Attempts {
 public:
  using Attempts::Attempts;

  Shrunk run() {
    if (auto sequence = in_sequence()) return *std::move(sequence);
    best_.operations = renumbered(std::move(best_.operations));
    if (!fails(best_)) return result(false, false);
    for (bool smaller = true; smaller && !exhausted();) {
      smaller = drop_rounds();
      smaller = drop_threads() || smaller;
      smaller = drop_connections() || smaller;
      smaller = drop_operations() || smaller;
    }
    while (!exhausted() && shorten()) {
    }
    const bool finished = !exhausted();
    // What hid it in the long one may be gone.
    if (auto sequence = in_sequence()) return *std::move(sequence);
    return result(true, finished);
  }

 private:
  // The same requests one by one, made smaller, if they fail as well.
  std::optional<Shrunk> in_sequence() {
    Plan sequence = best_;
    sequence.operations = as_sequence(best_.operations);
    if (!fails(sequence)) return std::nullopt;
    Shrunk shrunk = shrink(std::move(sequence), fails_, what_is_left());
    if (!shrunk.reproduced) return std::nullopt;
    return shrunk;
  }

  bool attempt(Operations operations) {
    return Attempts::attempt(renumbered(std::move(operations)));
  }

  // Rounds and threads without gaps.
  static Operations renumbered(Operations operations) {
    std::map<unsigned, unsigned> rounds;
    std::map<unsigned, unsigned> threads;
    for (const Operation& op : operations) {
      rounds[op.round] = 0;
      threads[op.thread] = 0;
    }
    unsigned number = 0;
    for (auto& entry : rounds) entry.second = number++;
    number = 0;
    for (auto& entry : threads) entry.second = number++;
    for (Operation& op : operations) {
      op.round = static_cast<std::uint16_t>(rounds[op.round]);
      op.thread = static_cast<std::uint8_t>(threads[op.thread]);
    }
    return operations;
  }

  template <typename Predicate>
  bool without(Predicate&& drop) {
    Operations rest = best_.operations;
    std::erase_if(rest, drop);
    return !rest.empty() && rest.size() < best_.operations.size() && attempt(std::move(rest));
  }

  [[nodiscard]] unsigned rounds() const { return best_.operations.back().round + 1U; }

  // Half of them, a quarter, ... one; opens stay.
  bool drop_rounds() {
    bool any = false;
    for (unsigned piece = std::max(1U, rounds() / 2); piece >= 1; piece /= 2) {
      for (unsigned end = rounds(); end > 0 && !exhausted();) {
        const unsigned begin = end > piece ? end - piece : 0;
        if (without([&](const Operation& op) {
              return op.round >= begin && op.round < end && op.kind != OpKind::open;
            }))
          any = true;
        end = std::min(begin, rounds());
      }
    }
    return any;
  }

  bool drop_threads() {
    bool any = false;
    for (unsigned thread = max_plan_threads; thread-- > 0 && !exhausted();)
      if (without(
              [&](const Operation& op) { return op.thread == thread && op.kind != OpKind::open; }))
        any = true;
    return any;
  }

  bool drop_connections() {
    bool any = false;
    for (unsigned connection = 255; connection > 0 && !exhausted(); --connection) {
      const auto is_it = [&](const Operation& op) { return op.connection == connection; };
      if (std::none_of(best_.operations.begin(), best_.operations.end(), is_it)) continue;
      if (without(is_it)) {
        any = true;
        continue;
      }
      // The first one may do as well.
      Operations merged;
      for (Operation op : best_.operations) {
        if (is_it(op)) {
          if (op.kind == OpKind::open || op.kind == OpKind::close) continue;
          op.connection = 0;
        }
        merged.push_back(op);
      }
      any = attempt(std::move(merged)) || any;
    }
    return any;
  }

  // Half of them, a quarter, ... one, from the end.
  bool drop_operations() {
    bool any = false;
    for (std::size_t piece = best_.operations.size() / 2; piece >= 1; piece /= 2) {
      for (std::size_t end = best_.operations.size(); end > 0 && !exhausted();) {
        const std::size_t begin = end > piece ? end - piece : 0;
        Operations rest = best_.operations;
        rest.erase(rest.begin() + static_cast<std::ptrdiff_t>(begin),
                   rest.begin() + static_cast<std::ptrdiff_t>(end));
        any = (!rest.empty() && attempt(std::move(rest))) || any;
        end = std::min(begin, best_.operations.size());
      }
    }
    return any;
  }

  // To a sector, to a half, and plainer.
  bool shorten() {
    bool any = false;
    for (std::size_t i = 0; i < best_.operations.size() && !exhausted(); ++i) {
      const Operation before = best_.operations[i];
      const auto change = [&](auto&& how) {
        Operations changed = best_.operations;
        how(changed[i]);
        return !(changed[i] == best_.operations[i]) && attempt(std::move(changed));
      };
      if (before.flags != 0) any = change([](Operation& op) { op.flags = 0; }) || any;
      if (before.payload != Payload::tags)
        any = change([](Operation& op) { op.payload = Payload::tags; }) || any;
      if (!has_range(before.kind) || before.count <= 512) continue;
      if (change([](Operation& op) { op.count = 512; }) ||
          change([](Operation& op) { op.count = op.count / 1024 * 512; }) ||
          change([](Operation& op) {
            const std::uint32_t rest = op.count / 1024 * 512;
            op.offset += op.count - rest;
            op.count = rest;
          }))
        any = true;
    }
    return any;
  }
};

}  // namespace

std::vector<Operation> as_sequence(std::span<const Operation> operations) {
  Operations sequence(operations.begin(), operations.end());
  std::stable_sort(sequence.begin(), sequence.end(), [](const Operation& a, const Operation& b) {
    return std::pair(a.round, a.thread) < std::pair(b.round, b.thread);
  });
  for (Operation& op : sequence) op.round = op.thread = 0;
  return sequence;
}

Shrunk shrink_concurrent(Plan plan, const std::function<bool(const Plan&)>& fails,
                         const ShrinkLimits& limits) {
  return ConcurrentShrinker(std::move(plan), fails, limits).run();
}

}  // namespace nbdcheck
