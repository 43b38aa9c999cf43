#include "text/nearest.hpp"

#include <algorithm>
#include <numeric>
#include <vector>

namespace nbdcheck {
namespace {

// Levenshtein distance.
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i + 1;
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, row[j] + 1, row[j + 1] + 1});
    }
  }
  return row[b.size()];
}

}  // namespace

std::string nearest(std::string_view word, std::span<const std::string_view> known) {
  constexpr std::size_t longest = 100;  // nobody meant a rule by more
  if (word.empty() || word.size() > longest) return "";
  std::string_view best;
  std::size_t best_distance = word.size() / 3 + 2;
  for (const std::string_view candidate : known) {
    std::size_t d = distance(word, candidate);
    // "read-your-writes" for "data.read-your-writes".
    if (word.size() >= 4 && candidate.find(word) != std::string_view::npos)
      d = std::min(d, std::size_t{1});
    if (d < best_distance) {
      best_distance = d;
      best = candidate;
    }
  }
  return std::string(best);
}

}  // namespace nbdcheck
