// The disk as it should be: for every byte, what a read may return.  Knows
// nothing of plugins.  Memory grows with the number of operations, not with
// the size of the export, so exports of 2^63-1 bytes are no trouble.
#pragma once

#include <absl/container/btree_map.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "model/content.hpp"

namespace nbdcheck {

// The first byte of a read that is not what it may be.
struct Mismatch {
  std::uint64_t offset;  // of the byte in the export
  Content expected;
};

class ReferenceDisk {
 public:
  explicit ReferenceDisk(std::uint64_t size);

  [[nodiscard]] std::uint64_t size() const { return size_; }
  [[nodiscard]] std::size_t runs() const { return runs_.size(); }

  // REQUIRES for all ranges: offset + count <= size().

  // The range now holds `content`.
  void set(std::uint64_t offset, std::uint64_t count, Content content);
  // Each byte of the range is what it was, or `content`: after a failure, or
  // when a change need not be visible yet.
  void maybe(std::uint64_t offset, std::uint64_t count, Content content);
  // Everything is unread again.
  void forget();

  // Holds `data`, read at `offset`, against the disk; unread bytes are learnt.
  std::optional<Mismatch> read(std::uint64_t offset, std::span<const std::byte> data);
  // The same without learning.
  [[nodiscard]] std::optional<Mismatch> compare(std::uint64_t offset,
                                                std::span<const std::byte> data) const;

  [[nodiscard]] Content at(std::uint64_t offset) const;
  // Calls f(begin, end, content) for each run of [offset, offset + count), in
  // order, until it returns false.
  template <typename F>
  void for_each(std::uint64_t offset, std::uint64_t count, F&& f) const {
    const std::uint64_t end = offset + count;
    if (count == 0) return;
    auto it = runs_.upper_bound(offset);
    --it;
    for (std::uint64_t begin = offset; begin < end;) {
      const Content content = it->second;
      ++it;
      const std::uint64_t stop = it == runs_.end() || it->first > end ? end : it->first;
      if (!f(begin, stop, content)) return;
      begin = stop;
    }
  }

  // The values a byte of `content` at `offset` may have; empty: any value.
  [[nodiscard]] std::vector<std::byte> values(Content content, std::uint64_t offset) const;
  // Whether a byte of the range is known, and known not to be zero; the first.
  [[nodiscard]] std::optional<std::uint64_t> first_nonzero(std::uint64_t offset,
                                                           std::uint64_t count) const;

  // Takes over what `other` has learnt of bytes that are unread here.
  void learn_from(const ReferenceDisk& other);

  // Bytes kept literally; beyond this unread bytes stay unread.
  static constexpr std::size_t literal_limit = 48U << 20;

 private:
  struct Literal {
    std::uint64_t offset;
    std::vector<std::byte> bytes;
  };
  using Mixture = std::vector<Content>;

  [[nodiscard]] std::size_t match(Content content, std::uint64_t offset,
                                  std::span<const std::byte> data) const;
  void learn(std::uint64_t offset, std::span<const std::byte> data);
  void learn_literal(std::uint64_t offset, std::span<const std::byte> data);
  Content mix(Content a, Content b);
  Content import(const ReferenceDisk& other, Content content);

  std::uint64_t size_;
  // Start of each run -> what it holds; a run ends where the next starts.
  absl::btree_map<std::uint64_t, Content> runs_;
  std::vector<Literal> literals_;
  std::size_t literal_bytes_ = 0;
  std::vector<Mixture> mixtures_;
};

}  // namespace nbdcheck
