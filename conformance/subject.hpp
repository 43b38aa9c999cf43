// What is known of the plugin under test before any check runs: the facts of
// its registration, what a client sees, and the profile that probing found.
// Checks decide by it whether they apply; reports carry it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "nbdcheck/connection.hpp"
#include "nbdcheck/plugin.hpp"
#include "nbdcheck/types.hpp"

namespace nbdcheck {

// Checks open no more connections than this, but for those that ask
// Subject::connections_seen.
constexpr unsigned usual_connections = 8;
// Tables of 8, 16 and 32 are exceeded.
constexpr unsigned many_connections = 34;

// Whether what was written and flushed is there after close and reopen.
enum class Persistence : std::uint8_t { unknown, shared, per_connection };
std::string_view name(Persistence persistence);

struct Subject {
  PluginFacts plugin;
  std::string sha256;
  ThreadModel thread_model = ThreadModel::serialize_connections;
  ExportInfo info;  // of the export under test, opened for writing unless --readonly
  Persistence persistence = Persistence::unknown;
  bool stable_contents = true;  // two reads without a write between agree
  // Data outlive the process (a file, a server): checks must not run at once.
  bool external_storage = false;
  // How many connections a probe had open together; 0: not tried.
  unsigned connections_seen = 0;
  // .open of one more does not return before another is closed.
  bool more_wait = false;
  std::uint64_t nanoseconds_per_read = 0;  // a small read, for budgets
  bool readable = true;                    // one of those succeeded
  std::vector<std::string> arguments;      // with which it was probed
  // Remarks of the probe for a person: "per-connection disks", ...
  std::vector<std::string> remarks;

  [[nodiscard]] bool has(std::string_view callback) const;  // ".trim" as "trim"
  [[nodiscard]] std::uint64_t minimum_block() const;        // 1 when none announced
  [[nodiscard]] std::uint64_t maximum_request() const;      // 64 MiB when none announced
  // About 4 KiB, whole blocks, and no more than is announced.  (The export may be smaller.)
  [[nodiscard]] std::uint64_t usual_request() const;
  // What only a second probe finds out.
  void add(const Subject& second);
  // How many of so many connections can be open together.
  [[nodiscard]] unsigned together(unsigned connections) const;
};

}  // namespace nbdcheck
