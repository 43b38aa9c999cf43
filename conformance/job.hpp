// What the command asks of one child: run this check on that plugin.  Sent to
// the child as JSON, so it holds values only.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "subject.hpp"

namespace nbdcheck {

enum class Effort : std::uint8_t { quick, standard, thorough };  // --profile
std::string_view name(Effort effort);

// What the user said about the plugin; the same for every check of a run.
struct Request {
  std::string plugin;                  // as on the command line
  std::vector<std::string> arguments;  // key=value ..., with backing files replaced by copies
  std::string export_name;
  bool readonly = false;
  bool unstable_contents = false;
  std::vector<std::string> backing;                // --backing: keys of arguments that name data
  Persistence persistence = Persistence::unknown;  // unknown: auto
  Effort effort = Effort::standard;
  std::uint64_t seed = 0;
  bool atomic_consistency = false;
  // The real nbdkit: a file, and its version; or else why there is none.
  std::string nbdkit;
  std::string nbdkit_version;
  std::string no_nbdkit;
};

struct Job {
  // facts: load the plugin, and tell only what its registration says.
  // reproduce: run the script that shows a finding on the real nbdkit.
  enum class Kind { probe, check, plan, facts, reproduce };
  // Where a plan runs.
  enum class Where { plugin, nbdkit };
  Kind kind = Kind::check;
  std::string check;  // id; empty for a probe
  Request request;
  Subject subject;                 // what the probe found; empty for a probe
  double seconds = 1.0;            // time budget
  std::uint64_t operations = 0;    // operation budget, 0: none
  std::string plan_text;           // Kind::plan: the sequence to run and judge
  std::string schedule;            // Kind::check: only this, as CheckRun::schedule said it
  std::string log_path;            // where the operations are logged
  bool second_probe = false;       // look for what the first probe wrote
  double hold = 0;                 // second probe: seconds to stay connected, unless let go
  bool count_connections = false;  // second probe: see Subject::connections_seen
  Where where = Where::plugin;     // Kind::plan
  std::string script;              // Kind::reproduce: its file
  // The plugin is to run twice, each time from the same start: Children puts
  // further copies of the backing files here.
  bool twice = false;
  std::vector<std::string> second_arguments;
  unsigned repeat = 0;  // Kind::plan, concurrent: run it so often; 0: until it shows something
  bool trial = false;   // Kind::plan: a candidate of shrinking, to be judged in a hurry
  // --in-process: the job does not run in a child, stdio is still the user's.
  // Never leaves this process, so it is not part of the JSON.
  bool in_process = false;
};

std::string to_json(const Job& job);
std::optional<Job> job_from_json(const std::string& text);

}  // namespace nbdcheck
