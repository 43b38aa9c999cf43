// A plan: the operations to run, as a pure value.  Its text form is the
// reproducer file (*.plan); see docs/formats.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <iosfwd>
#include <span>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <vector>

#include "nbdcheck/connection.hpp"
#include "nbdcheck/types.hpp"

namespace nbdcheck {

enum class OpKind : std::uint8_t { open, close, read, write, flush, trim, zero, cache, extents };
std::string_view name(OpKind kind);

// What a write carries.  `tags` names the write in every word (model/tags.hpp);
// the others exist because plugins treat such data specially.
enum class Payload : std::uint8_t { tags, zeroes, ones };

struct Operation {
  OpKind kind = OpKind::read;
  Payload payload = Payload::tags;  // writes only
  std::uint8_t connection = 0;      // 0, 1, ...
  std::uint8_t flags = 0;           // command_flag bits
  std::uint32_t count = 0;          // bytes; 0 for open, close, flush
  std::uint64_t offset = 0;         // bytes
  // Names the data of a write, unique in a plan and kept by shrinking, so that
  // a smaller plan writes the same bytes.
  std::uint32_t tag = 0;
  // Operations of one round run at once, each thread's own in their order; a
  // round begins when the one before has ended.  A sequence is one round of
  // thread 0.
  std::uint16_t round = 0;
  std::uint8_t thread = 0;

  friend bool operator==(const Operation&, const Operation&) = default;
};

bool modifies(OpKind kind);   // write, trim, zero
bool has_range(OpKind kind);  // all but open, close, flush

// As a call, for people: "#0 write(offset=4096, count=512, FUA)".
std::string describe(const Operation& op);

struct Plan {
  static constexpr int version = 1;             // a sequence
  static constexpr int concurrent_version = 2;  // with threads and rounds, or a schedule

  std::string check;   // id of the check whose judges apply
  std::string rule;    // the rule it was kept for; may be empty
  std::string plugin;  // as given on the command line
  std::vector<std::string> arguments;
  std::string sha256;  // of the plugin file, hex; may be empty
  std::string export_name;
  bool readonly = false;
  std::uint64_t seed = 0;
  BufferMode buffers = BufferMode::direct;
  // How the check ran what it found, in its own words; empty: as it likes.
  std::string schedule;
  std::vector<Operation> operations;  // empty: the check itself is the sequence

  friend bool operator==(const Plan&, const Plan&) = default;
};

// Whether operations may run at once.
bool concurrent(std::span<const Operation> operations);

// The text form, and back.  Parsing never trusts the file: limits on line and
// operation counts, every number range-checked; the error names the line.
std::string to_text(const Plan& plan);
tl::expected<Plan, std::string> plan_from_text(std::string_view text);
inline constexpr std::size_t max_plan_operations = 10'000'000;
inline constexpr std::uint8_t max_plan_threads = 64;

}  // namespace nbdcheck
