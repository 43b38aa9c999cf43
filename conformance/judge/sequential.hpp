// Judges operations that ran one after another: a read returns what the
// reference disk holds, extents called zero are zero.  A pure state machine
// over records and data; it never touches a plugin.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "history.hpp"
#include "model/views.hpp"
#include "nbdcheck/extents.hpp"

namespace nbdcheck {

class SequentialJudge {
 public:
  // `zero_is_emulated`: the server turns zero requests into writes.
  SequentialJudge(std::uint64_t size, ViewRules rules, bool zero_is_emulated = false)
      : views_(size, rules), zero_is_emulated_(zero_is_emulated) {
    // Long checks must not spend their time on growing this.
    history_.reserve(std::size_t{1} << 16);
  }

  // Enters an operation that has ended.  For a read, `data` is what it
  // returned; for extents, `list` (else nullptr).
  // A mismatch found in a read is returned for a closer look: explain() makes
  // a violation of it.
  std::optional<Mismatch> enter(const Operation& op, int error, std::span<const std::byte> data);

  // The violation that a mismatch in the last read amounts to: which rule,
  // by the operations since the bytes were written; hex; who wrote what.
  [[nodiscard]] Violation explain(const Mismatch& mismatch, std::span<const std::byte> data) const;

  // The first zero extent of `list` that covers bytes known not to be zero.
  [[nodiscard]] std::optional<Violation> judge_extents(int connection,
                                                       const ExtentList& list) const;

  [[nodiscard]] const History& history() const { return history_; }
  [[nodiscard]] const ReferenceDisk& view(int connection) const { return views_.of(connection); }
  [[nodiscard]] bool is_open(int connection) const { return views_.is_open(connection); }

 private:
  // Where wrong bytes come from: the write whose data they are, when it is known.
  struct Origin {
    const Record* source = nullptr;
    std::string words;
  };
  [[nodiscard]] Origin origin(std::uint64_t offset, std::span<const std::byte> data,
                              std::uint64_t data_offset) const;
  [[nodiscard]] std::string rule_for(const Mismatch& mismatch, const Record* source) const;
  [[nodiscard]] const Record* writer(const Content& content) const;
  [[nodiscard]] std::string describe_content(const Content& content, std::uint64_t offset) const;

  [[nodiscard]] static std::optional<std::uint64_t> alias(const Operation& op, std::uint64_t offset,
                                                          std::span<const std::byte> data);

  Views views_;
  bool zero_is_emulated_;
  History history_;
};

// Sixteen bytes a line, "00001000  12 34 ...", the lines around `offset` with
// the first differing byte marked.  `expected` may give fewer bytes.
std::vector<std::string> hex_around(std::uint64_t offset, std::span<const std::byte> data,
                                    std::uint64_t data_offset, const ReferenceDisk& disk);

}  // namespace nbdcheck
