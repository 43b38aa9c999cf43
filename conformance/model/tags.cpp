#include "model/tags.hpp"

#include <algorithm>
#include <cstring>

namespace nbdcheck {
namespace {

// Odd, so that i -> i * step is a bijection and can be undone.
constexpr std::uint64_t step = 0x9e3779b97f4a7c15;

constexpr std::uint64_t inverse(std::uint64_t odd) {
  std::uint64_t x = odd;  // correct to 3 bits; each Newton step doubles them
  for (int i = 0; i < 5; ++i) x *= 2 - odd * x;
  return x;
}
constexpr std::uint64_t step_inverse = inverse(step);
static_assert(step * step_inverse == 1);

// A bijective mixer (the finalizer of MurmurHash3): neighbouring tags must not
// have neighbouring words.
constexpr std::uint64_t base(std::uint32_t tag) {
  std::uint64_t x = tag + 0x51ed270b0a1f39c1ULL;
  x = (x ^ (x >> 33)) * 0xff51afd7ed558ccdULL;
  x = (x ^ (x >> 33)) * 0xc4ceb9fe1a85ec53ULL;
  return x ^ (x >> 33);
}

std::byte byte_of(std::uint64_t word, std::uint64_t offset) {
  return static_cast<std::byte>(word >> (8 * (offset % 8)));
}

// Bytes before the first aligned word of a range that starts at `offset`.
std::size_t head_length(std::uint64_t offset, std::size_t size) {
  return std::min<std::size_t>((8 - offset % 8) % 8, size);
}

constexpr std::size_t block = 512;  // words compared before looking at the result

// These two loops run over every byte that a check moves; wider vectors, where
// the processor has them, make them twice as fast.  (The choice is made before
// a sanitizer's runtime is up, so not there.)
#if defined(__x86_64__) && defined(__gnu_linux__) && !defined(NBDCHECK_SANITIZED)
#define NBDCHECK_WIDE __attribute__((target_clones("avx2", "default")))
#else
#define NBDCHECK_WIDE
#endif

NBDCHECK_WIDE void fill_words(std::byte* to, std::size_t words, std::uint64_t first) {
  for (std::size_t w = 0; w < words; ++w) {
    const std::uint64_t value = first + w * step;
    std::memcpy(to + 8 * w, &value, 8);
  }
}

// 0 when the words are first, first + by, first + 2 * by, ...
NBDCHECK_WIDE std::uint64_t words_differ(const std::byte* data, std::size_t words,
                                         std::uint64_t first, std::uint64_t by) {
  std::uint64_t difference = 0;
  for (std::size_t w = 0; w < words; ++w) {
    std::uint64_t found;
    std::memcpy(&found, data + 8 * w, 8);
    difference |= found ^ (first + w * by);
  }
  return difference;
}

}  // namespace

std::uint64_t tag_word(std::uint32_t tag, std::uint64_t word_index) {
  return base(tag) + word_index * step;
}

std::uint64_t tag_key(std::uint64_t word) { return word * step_inverse; }

std::byte tag_byte(std::uint32_t tag, std::uint64_t offset) {
  return byte_of(tag_word(tag, offset / 8), offset);
}

void fill_tags(std::span<std::byte> out, std::uint64_t offset, std::uint32_t tag) {
  std::size_t i = 0;
  for (const std::size_t head = head_length(offset, out.size()); i < head; ++i)
    out[i] = tag_byte(tag, offset + i);
  const std::size_t words = (out.size() - i) / 8;
  fill_words(out.data() + i, words, tag_word(tag, (offset + i) / 8));
  for (i += 8 * words; i < out.size(); ++i) out[i] = tag_byte(tag, offset + i);
}

std::size_t match_tags(std::span<const std::byte> data, std::uint64_t offset, std::uint32_t tag) {
  const auto bytewise = [&](std::size_t from, std::size_t to) {
    while (from < to && data[from] == tag_byte(tag, offset + from)) ++from;
    return from;
  };
  const std::size_t head = head_length(offset, data.size());
  std::size_t i = bytewise(0, head);
  if (i < head) return i;
  while (data.size() - i >= 8) {
    const std::size_t words = std::min(block, (data.size() - i) / 8);
    const std::uint64_t first = tag_word(tag, (offset + i) / 8);
    if (words_differ(data.data() + i, words, first, step) != 0) return bytewise(i, i + 8 * words);
    i += 8 * words;
  }
  return bytewise(i, data.size());
}

std::size_t match_fill(std::span<const std::byte> data, std::byte value) {
  std::uint64_t pattern;
  std::memset(&pattern, static_cast<int>(value), 8);
  std::size_t i = 0;
  while (data.size() - i >= 8) {
    const std::size_t words = std::min(block, (data.size() - i) / 8);
    if (words_differ(data.data() + i, words, pattern, 0) != 0) break;
    i += 8 * words;
  }
  while (i < data.size() && data[i] == value) ++i;
  return i;
}

std::optional<std::uint64_t> tag_place(std::uint64_t word, std::uint32_t tag, std::uint64_t begin,
                                       std::uint64_t end) {
  const std::uint64_t index = (word - base(tag)) * step_inverse;
  if (index > UINT64_MAX / 8) return std::nullopt;
  const std::uint64_t place = index * 8;
  // The first and last word of a write may stick out of its range.
  if (place + 8 <= begin || place >= end) return std::nullopt;
  return place;
}

}  // namespace nbdcheck
