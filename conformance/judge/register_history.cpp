#include "judge/register_history.hpp"

#include <absl/container/flat_hash_map.h>

#include <algorithm>

#include "judge/register_sector.hpp"

namespace nbdcheck {
namespace {

// The operations of each sector, side by side.
class Sectors {
 public:
  explicit Sectors(std::span<const RegisterOp> history) {
    absl::flat_hash_map<std::uint64_t, std::uint32_t> number;
    std::vector<std::uint32_t> sector_of(history.size());
    std::vector<std::size_t> counts;
    for (std::size_t i = 0; i < history.size(); ++i) {
      const auto [entry, fresh] =
          number.try_emplace(history[i].sector, static_cast<std::uint32_t>(counts.size()));
      if (fresh) counts.push_back(0);
      sector_of[i] = entry->second;
      ++counts[entry->second];
    }
    begins_.resize(counts.size() + 1);
    for (std::size_t i = 0; i < counts.size(); ++i) begins_[i + 1] = begins_[i] + counts[i];
    std::vector<std::size_t> next(begins_.begin(), begins_.end() - 1);
    ops_.resize(history.size());
    for (std::size_t i = 0; i < history.size(); ++i) {
      const RegisterOp& op = history[i];
      ops_[next[sector_of[i]]++] = {op.kind == RegisterOp::Kind::zero ? 0 : op.value, op.begin,
                                    op.end, &op};
    }
  }

  [[nodiscard]] std::size_t count() const { return begins_.size() - 1; }
  [[nodiscard]] std::span<const SectorOp> of(std::size_t i) const {
    return std::span(ops_).subspan(begins_[i], begins_[i + 1] - begins_[i]);
  }

 private:
  std::vector<std::size_t> begins_;
  std::vector<SectorOp> ops_;
};

}  // namespace

RegisterVerdict judge_registers(std::span<const RegisterOp> history, Consistency consistency,
                                std::size_t search_budget) {
  RegisterVerdict verdict;
  const Sectors sectors(history);
  verdict.operations = history.size();
  verdict.sectors = sectors.count();
  RegularJudge regular;
  AtomicJudge atomic;
  for (std::size_t i = 0; i < sectors.count(); ++i) {
    const auto ops = sectors.of(i);
    std::optional<RegisterClash> clash;
    if (consistency == Consistency::regular) {
      clash = regular.judge(ops);
    } else {
      RegisterClash found;
      AtomicJudge::Outcome outcome = atomic.judge(ops, found);
      if (outcome == AtomicJudge::Outcome::values_repeat) {
        const SearchOutcome search = search_order(ops, search_budget, found);
        if (search == SearchOutcome::violated) outcome = AtomicJudge::Outcome::violated;
        // What is not even regular needs no search to be wrong.
        if (search == SearchOutcome::over_budget && !(clash = regular.judge(ops)))
          verdict.undecided.push_back(ops.front().source->sector);
      }
      if (outcome == AtomicJudge::Outcome::violated) {
        // The simpler rule has the plainer witness.
        clash = regular.judge(ops);
        if (!clash) clash = std::move(found);
      }
    }
    if (!clash) continue;
    std::stable_sort(clash->witness.begin(), clash->witness.end(),
                     [](const RegisterOp* a, const RegisterOp* b) { return a->begin < b->begin; });
    verdict.clashes.push_back(std::move(*clash));
  }
  std::sort(verdict.clashes.begin(), verdict.clashes.end(),
            [](const RegisterClash& a, const RegisterClash& b) {
              return a.witness.front()->sector < b.witness.front()->sector;
            });
  std::sort(verdict.undecided.begin(), verdict.undecided.end());
  return verdict;
}

}  // namespace nbdcheck
