#include "checks/payload_finder.hpp"

#include <algorithm>
#include <cstring>

#include "model/tags.hpp"

namespace nbdcheck {
namespace {

std::uint64_t word_at(std::span<const std::byte> bytes, std::size_t at) {
  std::uint64_t word = 0;
  std::memcpy(&word, bytes.data() + at, sizeof word);
  return word;
}

}  // namespace

void PayloadFinder::add(std::uint32_t tag, std::uint64_t offset, std::uint32_t count) {
  const std::lock_guard lock(mutex_);
  const std::uint64_t first = offset / 8;
  const std::uint64_t end = (offset + count + 7) / 8;
  const Payload payload{tag_key(tag_word(tag, first)), end - first, tag, first * 8};
  payloads_.insert(std::ranges::upper_bound(payloads_, payload.begin, {}, &Payload::begin),
                   payload);
}

const PayloadFinder::Payload* PayloadFinder::whose(std::uint64_t key) const {
  const auto after = std::ranges::upper_bound(payloads_, key, {}, &Payload::begin);
  if (after == payloads_.begin()) return nullptr;
  const Payload& payload = *std::prev(after);
  return key - payload.begin < payload.words ? &payload : nullptr;
}

// At every byte: what is before the data in a buffer need not be whole words,
// and differs from one record of a journal to the next.
std::vector<Piece> PayloadFinder::find(std::span<const std::byte> bytes) const {
  const std::lock_guard lock(mutex_);
  std::vector<Piece> pieces;
  for (std::size_t at = 0; at + 8 <= bytes.size();) {
    const std::uint64_t word = word_at(bytes, at);
    const std::uint64_t key = tag_key(word);
    const Payload* payload = word == 0 ? nullptr : whose(key);
    if (payload == nullptr) {
      ++at;
      continue;
    }
    std::uint64_t index = key - payload->begin;
    Piece piece{payload->tag, payload->place + index * 8, at, 0};
    do {
      at += 8;
      piece.size += 8;
      ++index;
    } while (at + 8 <= bytes.size() && index < payload->words &&
             tag_key(word_at(bytes, at)) == payload->begin + index);
    pieces.push_back(piece);
  }
  return pieces;
}

}  // namespace nbdcheck
