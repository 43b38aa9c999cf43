// Generates operations that aim at where bugs live: first and last byte, both
// sides of powers of two up to the size of the export, ranges that touch,
// neighbour and overlap earlier ones, odd lengths, and places that alias when
// an offset loses its high bits.
//
// A generator is a pure function of aim, mix and seed: it never looks at
// replies, so the sequence can be made again without the plugin.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "plan/plan.hpp"
#include "plan/random.hpp"

namespace nbdcheck {

// What the export permits.
struct Aim {
  std::uint64_t size = 0;
  std::uint64_t block = 1;                // offsets and counts are multiples of it
  std::uint64_t max_request = 64U << 20;  // largest read or write
  bool can_fua = false;
  bool can_fast_zero = false;
  unsigned connections = 1;
  // Each connection keeps to a part of the export of its own.
  bool separate_parts = false;
  // Powers of two beyond this are not aimed at (memory of the plugin).
  std::uint64_t typical_length = 4096;
};

// Relative weights of the operations; 0: never.
struct Mix {
  unsigned read = 0;
  unsigned write = 0;
  unsigned zero = 0;
  unsigned trim = 0;
  unsigned flush = 0;
  unsigned cache = 0;
  unsigned extents = 0;
  unsigned reopen = 0;  // close and open again, most often after a flush
};

class Generator {
 public:
  // REQUIRES: aim.size >= aim.block
  Generator(const Aim& aim, const Mix& mix, std::uint64_t seed);

  Operation next();

  // Places the generator comes back to; a final sweep reads around them.
  [[nodiscard]] const std::vector<std::uint64_t>& anchors() const { return anchors_; }

 private:
  struct Range {
    std::uint64_t offset;
    std::uint64_t count;
  };
  // The part of the export a connection keeps to.
  struct Part {
    std::uint64_t begin;
    std::uint64_t end;
  };
  OpKind pick_kind();
  std::uint64_t pick_length(OpKind kind);
  Range pick_range(OpKind kind, unsigned connection);
  Range fit(std::uint64_t offset, std::uint64_t count, const Part& part) const;
  [[nodiscard]] Part part_of(unsigned connection) const;
  void add_anchor(std::uint64_t offset);

  Aim aim_;
  Random random_;
  std::array<unsigned, 8> weights_{};
  unsigned total_weight_ = 0;
  std::uint32_t next_tag_ = 1;
  std::vector<std::uint64_t> anchors_;
  std::vector<Range> recent_;  // last modified ranges, a ring
  std::size_t recent_next_ = 0;
  std::vector<Operation> queue_;  // to be given out before anything new, last first
};

}  // namespace nbdcheck
