// A check: one file in this directory that registers itself.  It names the
// rules it judges and says whether it applies to a plugin; the runner gives it
// a child of its own.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "checks/interference.hpp"
#include "subject.hpp"

namespace nbdcheck {

class CheckRun;
class Server;

// No connection is open yet; the interference ends before the plugin is unloaded.
using Interfere = std::function<std::unique_ptr<Interference>(CheckRun&, Server&)>;

struct Check {
  std::string_view id;       // "data.random"; the part before the dot is its group
  std::string_view summary;  // one line
  std::vector<std::string_view> rules;
  // Share of the run's time and operations that a long check wants, relative
  // to others; 0: short and fixed, no budget.
  double weight = 0;
  // "NAME=value": in the environment of its child, whatever is there now.
  std::vector<std::string_view> environment = {};
  // Empty: applies.  Otherwise why not, for a person: "no .trim".
  std::function<std::string(const Subject&)> not_applicable;
  std::function<void(CheckRun&)> run;
  // Needs nothing but the file: runs even when the plugin cannot be started.
  bool static_only = false;
  // Runs the plugin under the real nbdkit as well: not part of the quick
  // profile, and the job has a second set of arguments.
  bool beside_nbdkit = false;
  // Judges requests that run at once: comes last, as what is wrong one by one
  // is told first, and may stop the plugin's threads by SIGTRAP.
  bool at_once = false;
  // What is done to the plugin's threads; also while what it finds is replayed.
  Interfere interfere = {};
  // The buffers it gives the plugin; so does the replay of what it finds.
  BufferMode buffers = BufferMode::direct;
  // What it asks depends on --seed; only then may it use CheckRun::random().
  bool seeded = false;
  // Looks where plain reads and writes were seen to work just before: what it finds
  // is no consequence of what they do elsewhere.
  bool stands_alone = false;
};

// Sorted by id.
std::span<const Check> all_checks();
const Check* find_check(std::string_view id);

// `const Registration r{{.id = ..., ...}};` at namespace scope registers.
struct Registration {
  explicit Registration(Check check);
};

}  // namespace nbdcheck
