// The command line: what `nbdcheck ...` asks for, as a plain value.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <tl/expected.hpp>
#include <vector>

#include "finding.hpp"
#include "job.hpp"
#include "judge/register_history.hpp"

namespace nbdcheck {

// The program ends here: usage errors, --help, --version.
struct CliExit {
  int code = 0;
  std::string text;  // ends with a newline
  bool to_stderr = false;
};

// One line on stderr, exit code 2.
CliExit usage_error(const std::string& what);

struct ReportRequest {
  std::string format;  // one of report_formats
  std::string path;
};

struct Options {
  enum class Command : std::uint8_t { run, list, explain, replay, judge };
  enum class Listing : std::uint8_t { all, rules, checks };
  enum class Color : std::uint8_t { automatic, always, never };

  Command command = Command::run;

  std::string plugin;  // run
  std::vector<std::string> arguments;

  Listing listing = Listing::all;  // list
  bool list_as_json = false;
  std::string rule;       // explain
  std::string plan_file;  // replay
  bool on_nbdkit = false;  // --target=nbdkit
  unsigned repeat = 1;
  std::string history_file;  // judge
  Consistency consistency = Consistency::regular;

  Effort profile = Effort::standard;
  std::optional<double> seconds;      // --time
  bool share_of_time = false;         // --time=share
  std::optional<std::uint64_t> seed;  // none: 1
  std::string only;                   // valid ECMAScript regular expressions; empty: not given
  std::string skip;
  unsigned jobs = 0;              // 0: as many as there are processors
  std::optional<double> timeout;  // seconds without progress
  bool unstable_contents = false;
  Persistence persistence = Persistence::unknown;  // unknown: auto
  bool readonly = false;
  std::string export_name;
  bool write_in_place = false;
  std::vector<std::string> backing;  // keys
  std::string nbdkit;  // a file, or "none"; empty: to be found

  std::vector<ReportRequest> reports;
  std::string artifacts;  // empty: not given
  std::string waivers;    // a file; empty: not given
  Severity fail_on = Severity::must;
  bool in_process = false;
  bool valgrind = false;
  Color color = Color::automatic;
  bool quiet = false;
  bool verbose = false;
};

// `arguments` is argv without the program's name.
tl::expected<Options, CliExit> parse_options(std::span<const std::string> arguments);

// The text of --help.
std::string help_text();

}  // namespace nbdcheck
