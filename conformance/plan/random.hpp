// The random numbers of plans: the standard Mersenne twister, with bounded
// draws of our own because the standard distributions differ between
// libraries and a seed must mean the same plan everywhere.
#pragma once

#include <cstdint>
#include <random>
#include <span>
#include <string_view>

namespace nbdcheck {

class Random {
 public:
  explicit Random(std::uint64_t seed) : engine_(seed) {}

  std::uint64_t next() { return engine_(); }
  // Uniform in [0, bound); REQUIRES: bound > 0.
  std::uint64_t below(std::uint64_t bound) {
    return static_cast<std::uint64_t>((static_cast<unsigned __int128>(next()) * bound) >> 64);
  }
  // Uniform in [low, high].
  std::uint64_t between(std::uint64_t low, std::uint64_t high) {
    const std::uint64_t width = high - low;
    return width == UINT64_MAX ? next() : low + below(width + 1);
  }
  bool percent(unsigned chance) { return below(100) < chance; }
  // Many small, few large: uniform in the logarithm, in [low, high].
  std::uint64_t logarithmic(std::uint64_t low, std::uint64_t high);
  template <typename T>
  const T& pick(std::span<const T> from) {
    return from[below(from.size())];
  }

 private:
  std::mt19937_64 engine_;
};

// Derives an independent seed for part `part` of something seeded `seed`.
std::uint64_t derive_seed(std::uint64_t seed, std::string_view part);

}  // namespace nbdcheck
