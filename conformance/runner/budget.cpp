#include "runner/budget.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "runner/families.hpp"

namespace nbdcheck {
namespace {

struct Budget {
  double seconds;  // of wall time, for all checks with a weight together
  std::uint64_t operations;
};

Budget budget_of(Effort effort) {
  switch (effort) {
    case Effort::quick:
      return {1.2, 500'000};
    case Effort::standard:
      return {13, 6'000'000};
    case Effort::thorough:
      return {270, 150'000'000};
  }
  return {13, 6'000'000};
}

// A history is kept whole, to be shrunk: long checks run in rounds.
constexpr std::uint64_t operations_per_child = 400'000;
// Checks without a weight do a fixed, small amount of work; this only ends
// them on a very slow plugin.
double fixed_seconds(Effort effort) {
  switch (effort) {
    case Effort::quick:
      return 3;
    case Effort::standard:
      return 10;
    case Effort::thorough:
      return 60;
  }
  return 10;
}

}  // namespace

std::vector<Share> share_out(std::span<const Check* const> checks, const Subject& subject,
                             Effort effort, double total_seconds, unsigned jobs) {
  Budget budget = budget_of(effort);
  if (total_seconds > 0) {
    budget.operations = static_cast<std::uint64_t>(static_cast<double>(budget.operations) *
                                                   std::max(1.0, total_seconds / budget.seconds));
    budget.seconds = total_seconds;
  }
  // A slow plugin gets through few requests; a little more time makes a check
  // of it worth having.
  if (subject.nanoseconds_per_read > 1'000'000 && total_seconds == 0) budget.seconds *= 2;
  double weights = 0;
  for (const Check* check : checks) weights += check->weight;

  std::vector<Share> shares;
  for (const Check* check : checks) {
    if (check->weight == 0) {
      shares.push_back({check, 0, fixed_seconds(effort), 0});
      continue;
    }
    const double part = check->weight / weights;
    const double seconds = budget.seconds * jobs * part;
    const auto operations =
        static_cast<std::uint64_t>(static_cast<double>(budget.operations) * part);
    auto rounds = static_cast<unsigned>(
        std::max<std::uint64_t>(1, (operations + operations_per_child - 1) / operations_per_child));
    // Each starts an nbdkit, and is slowed down by it.
    if (check->beside_nbdkit)
      rounds = std::min(rounds, std::max(1U, static_cast<unsigned>(seconds / 5)));
    for (unsigned round = 0; round < rounds; ++round)
      shares.push_back({check, round, seconds / rounds, operations / rounds});
  }
  // Long ones first, so that the end of the run is not one long child alone.
  std::stable_sort(shares.begin(), shares.end(),
                   [](const Share& a, const Share& b) { return a.seconds > b.seconds; });
  return shares;
}

double longest(const Check& check, std::span<const Check* const> checks, Effort effort) {
  constexpr double start_up = 2 * 15;  // two probes that hang
  constexpr double last_child = 60;    // over and above thrice its time: Runner::run_share
  constexpr double on_nbdkit = 30;     // the script of a finding: reproduce()
  double seconds = start_up + last_child;
  for (const Share& share : share_out(checks, Subject{}, effort, 0, 1))
    if (share.check == &check) seconds += share.seconds * 3;
  const double shrinking =
      std::chrono::duration<double>(shrink_limits(effort, Subject{}).time).count();
  // A fault shows itself as one rule or two; each is shrunk, and shown.
  return seconds + 2 * (shrinking + on_nbdkit);
}

}  // namespace nbdcheck
