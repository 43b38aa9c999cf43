#include <bit>
#include <string_view>

#include "plan/random.hpp"

namespace nbdcheck {

std::uint64_t Random::logarithmic(std::uint64_t low, std::uint64_t high) {
  if (low >= high) return low;
  const auto bits = [](std::uint64_t n) { return static_cast<unsigned>(std::bit_width(n)); };
  const std::uint64_t width = between(bits(low), bits(high));
  const std::uint64_t from = width == 0 ? 0 : std::uint64_t{1} << (width - 1);
  const std::uint64_t to = width == 0 ? 0 : (from - 1) + from;
  return between(from < low ? low : from, to > high ? high : to);
}

std::uint64_t derive_seed(std::uint64_t seed, std::string_view part) {
  // FNV-1a over the name, mixed with the seed.
  std::uint64_t hash = 0xcbf29ce484222325ULL ^ (seed * 0x9e3779b97f4a7c15ULL);
  for (const char c : part) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
  return hash ^ (hash >> 29);
}

}  // namespace nbdcheck
