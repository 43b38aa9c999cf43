// The export cut into pieces in which the same operations changed all bytes.
// Internal to the room.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "history.hpp"

namespace nbdcheck {

struct Cell {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
  // What may have changed it, in order of their begin.
  std::vector<std::uint32_t> changes;
  // The latest end among changes[0..i].
  std::vector<std::int64_t> ended_by;
};

// Which operations may be seen by whom, and when.
class Sight {
 public:
  Sight(std::span<const TimedRecord> history, bool multi_conn);

  // Whether both see one disk: the same connection between open and close, or
  // any with can_multi_conn.
  [[nodiscard]] bool related(std::size_t a, std::size_t b) const {
    return multi_conn_ || session_[a] == session_[b];
  }
  // Whether `change` has to be seen by an operation of `observer`'s connection
  // that begins when `observer` does.
  [[nodiscard]] bool settled(std::size_t change, std::size_t observer) const;
  [[nodiscard]] bool same_session(std::size_t a, std::size_t b) const {
    return session_[a] == session_[b];
  }
  [[nodiscard]] bool one_session() const { return one_session_; }

 private:
  std::span<const TimedRecord> history_;
  bool multi_conn_;
  bool one_session_ = true;
  std::vector<std::uint32_t> session_;  // by record
  std::vector<std::size_t> flushes_;    // that succeeded
};

std::vector<Cell> cut_into_cells(std::span<const TimedRecord> history);

// What may be in a cell when `reader` looks.
struct Legal {
  std::vector<std::uint32_t> changes;  // writes and zeroes, the latest first
  bool anything = false;               // trimmed, never written, or another's business
  std::int64_t overwriter = -1;        // the change that rules out what came before it
};
void legal_changes(std::span<const TimedRecord> history, const Sight& sight, const Cell& cell,
                   std::size_t reader, Legal& legal);

// How many bytes from the start of `data` (at `offset`) are what `change` put
// there.
std::size_t match_change(const Operation& change, std::span<const std::byte> data,
                         std::uint64_t offset);

}  // namespace nbdcheck
