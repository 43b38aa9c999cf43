#include "checks/growth.hpp"

#include <cstddef>

namespace nbdcheck {

std::optional<double> steady_growth(std::span<const std::uint64_t> samples,
                                    std::uint64_t repetitions) {
  constexpr std::size_t fewest = 4;
  if (samples.size() < fewest || repetitions == 0) return std::nullopt;
  if (samples.back() <= samples.front()) return std::nullopt;
  const double total = static_cast<double>(samples.back() - samples.front());
  const double average = total / static_cast<double>(samples.size() - 1);
  for (std::size_t i = 1; i < samples.size(); ++i) {
    if (samples[i] <= samples[i - 1]) return std::nullopt;
    const double added = static_cast<double>(samples[i] - samples[i - 1]);
    if (added < average / 2 || added > average * 2) return std::nullopt;
  }
  return average / static_cast<double>(repetitions);
}

}  // namespace nbdcheck
