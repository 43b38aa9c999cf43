#include "checks/payload_finder.hpp"

#include <cstring>
#include <ranges>

#include "model/tags.hpp"

namespace nbdcheck {
namespace {

// Headers of odd length move the data behind them; but looking at every byte
// of a large buffer would take long.
constexpr std::size_t most_at_any_shift = 64U << 10;

std::uint64_t word_at(std::span<const std::byte> bytes, std::size_t at) {
  std::uint64_t word = 0;
  std::memcpy(&word, bytes.data() + at, sizeof word);
  return word;
}

}  // namespace

void PayloadFinder::add(std::uint32_t tag, std::uint64_t offset, std::uint32_t count) {
  const std::lock_guard lock(mutex_);
  payloads_.push_back({tag, offset, offset + count});
}

const PayloadFinder::Payload* PayloadFinder::whose(std::uint64_t word, std::uint64_t& place) const {
  if (word == 0) return nullptr;
  for (const Payload& payload : std::views::reverse(payloads_))
    if (const auto found = tag_place(word, payload.tag, payload.begin, payload.end)) {
      place = *found;
      return &payload;
    }
  return nullptr;
}

void PayloadFinder::find_at(std::span<const std::byte> bytes, std::size_t shift,
                            std::vector<Piece>& pieces) const {
  for (std::size_t at = shift; at + 8 <= bytes.size(); at += 8) {
    std::uint64_t place = 0;
    const Payload* payload = whose(word_at(bytes, at), place);
    if (payload == nullptr) continue;
    Piece piece{payload->tag, place, at, 8};
    while (at + 16 <= bytes.size() && place + piece.size < payload->end &&
           word_at(bytes, at + 8) == tag_word(payload->tag, (place + piece.size) / 8)) {
      at += 8;
      piece.size += 8;
    }
    pieces.push_back(piece);
  }
}

std::vector<Piece> PayloadFinder::find(std::span<const std::byte> bytes) const {
  const std::lock_guard lock(mutex_);
  std::vector<Piece> pieces;
  for (std::size_t shift = 0; shift < 8; ++shift) {
    find_at(bytes, shift, pieces);
    if (!pieces.empty() || bytes.size() > most_at_any_shift) break;
  }
  return pieces;
}

}  // namespace nbdcheck
