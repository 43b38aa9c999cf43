// What a tagged write puts on the disk.  Every aligned 8-byte word of the
// export names the write (its tag) and its own place, so a word that is stale,
// misplaced or foreign is seen at once, and which write it came from is known.
//
// word(tag, i) = base(tag) + i * step, with i = offset / 8.  Adding keeps
// filling and comparing at memory speed (no multiplication per word).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace nbdcheck {

std::uint64_t tag_word(std::uint32_t tag, std::uint64_t word_index);
std::byte tag_byte(std::uint32_t tag, std::uint64_t offset);

// The words of one write have keys one after the other: tag_key(tag_word(t, i))
// is tag_key(tag_word(t, 0)) + i.
std::uint64_t tag_key(std::uint64_t word);

// Fills `out`, which lies at `offset` of the export.  Any alignment.
void fill_tags(std::span<std::byte> out, std::uint64_t offset, std::uint32_t tag);

// Length of the longest prefix of `data` (at `offset`) that carries `tag`.
std::size_t match_tags(std::span<const std::byte> data, std::uint64_t offset, std::uint32_t tag);

// The same for one repeated byte.
std::size_t match_fill(std::span<const std::byte> data, std::byte value);

// If `word`, found anywhere, is a word of `tag` for a place in [begin, end) of
// the export: that place (a multiple of 8).
std::optional<std::uint64_t> tag_place(std::uint64_t word, std::uint32_t tag, std::uint64_t begin,
                                       std::uint64_t end);

}  // namespace nbdcheck
