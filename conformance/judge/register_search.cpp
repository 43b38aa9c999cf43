// Just-in-time linearization (G. Lowe: Testing for linearizability, 2017):
// go through the begins and ends in the order of time and keep every state the
// sector can be in: its value, and which of the operations under way have taken
// effect.  Exponential in the operations under way at once, hence the budget.
#include <algorithm>
#include <array>
#include <bit>
#include <set>
#include <utility>

#include "judge/register_sector.hpp"

namespace nbdcheck {
namespace {

struct State {
  std::uint64_t value;
  std::uint64_t effective;  // a bit for each operation under way that took effect
  friend auto operator<=>(const State&, const State&) = default;
};

class Search {
 public:
  Search(std::span<const SectorOp> ops, std::size_t budget) : ops_(ops), budget_(budget) {}

  SearchOutcome run(RegisterClash& clash) {
    struct Moment {
      std::int64_t time;
      bool ends;
      std::uint32_t op;
    };
    std::vector<Moment> moments;
    for (std::uint32_t i = 0; i < ops_.size(); ++i) {
      moments.push_back({ops_[i].begin, false, i});
      moments.push_back({ops_[i].end, true, i});
    }
    // Closed intervals: at equal times the begins come first.
    std::sort(moments.begin(), moments.end(), [](const Moment& a, const Moment& b) {
      return a.time != b.time ? a.time < b.time : a.ends < b.ends;
    });
    states_.insert({0, 0});
    for (const Moment& moment : moments) {
      if (!moment.ends) {
        if (!enter(moment.op)) return SearchOutcome::over_budget;
        continue;
      }
      if (!leave(moment.op)) return SearchOutcome::over_budget;
      if (states_.empty()) {
        explain(moment.op, clash);
        return SearchOutcome::violated;
      }
      if (ops_[moment.op].writes()) last_write_ = ops_[moment.op].source;
    }
    return SearchOutcome::holds;
  }

 private:
  bool enter(std::uint32_t op) {
    const int slot = std::countr_one(used_);
    if (slot == 64) return false;
    used_ |= std::uint64_t{1} << slot;
    under_way_[static_cast<std::size_t>(slot)] = op;
    std::set<State> settled;
    for (const State& state : states_) settled.insert(read_eagerly(state));
    states_ = std::move(settled);
    return true;
  }

  // A read that may take effect now loses nothing by doing so.
  [[nodiscard]] State read_eagerly(State state) const {
    for (std::uint64_t left = used_ & ~state.effective; left != 0; left &= left - 1) {
      const SectorOp& op = ops_[under_way_[static_cast<std::size_t>(std::countr_zero(left))]];
      if (!op.writes() && op.value == state.value) state.effective |= left & (~left + 1);
    }
    return state;
  }

  // Every state in which `op` has taken effect; its slot is free afterwards.
  bool leave(std::uint32_t op) {
    const auto at = std::find_if(under_way_.begin(), under_way_.end(), [&](const auto& entry) {
      const auto slot = static_cast<std::size_t>(&entry - under_way_.data());
      return entry == op && (used_ >> slot & 1) != 0;
    });
    const std::uint64_t bit = std::uint64_t{1} << (at - under_way_.begin());
    std::set<State> done;
    std::set<State> seen = states_;
    std::vector<State> todo(states_.begin(), states_.end());
    while (!todo.empty()) {
      if (++visited_ > budget_) return false;
      const State state = todo.back();
      todo.pop_back();
      if ((state.effective & bit) != 0) {
        done.insert({state.value, state.effective & ~bit});
        continue;
      }
      for (std::uint64_t left = used_ & ~state.effective; left != 0; left &= left - 1) {
        const SectorOp& next = ops_[under_way_[static_cast<std::size_t>(std::countr_zero(left))]];
        if (!next.writes()) continue;
        const State after = read_eagerly({next.value, state.effective | (left & (~left + 1))});
        if (seen.insert(after).second) todo.push_back(after);
      }
    }
    used_ &= ~bit;
    states_ = std::move(done);
    return true;
  }

  void explain(std::uint32_t op, RegisterClash& clash) const {
    clash.why = "no order of the operations fits: none in which this one can be placed";
    if (last_write_ != nullptr) clash.witness.push_back(last_write_);
    clash.witness.push_back(ops_[op].source);
  }

  std::span<const SectorOp> ops_;
  std::size_t budget_;
  std::size_t visited_ = 0;
  std::set<State> states_;
  std::uint64_t used_ = 0;
  std::array<std::uint32_t, 64> under_way_{};
  const RegisterOp* last_write_ = nullptr;
};

}  // namespace

SearchOutcome search_order(std::span<const SectorOp> ops, std::size_t budget,
                           RegisterClash& clash) {
  return Search(ops, budget).run(clash);
}

}  // namespace nbdcheck
