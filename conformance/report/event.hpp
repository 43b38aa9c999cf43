// The one event stream of a run, and the listeners that turn it into what a
// person or a machine reads.  A format is one listener.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "finding.hpp"
#include "job.hpp"
#include "subject.hpp"
#include "waiver.hpp"

namespace nbdcheck {

enum class Status : std::uint8_t { passed, failed, skipped, crashed, hung, unknown };
std::string_view name(Status status);
int badness(Status status);  // of several rounds of a check the worst tells

struct CheckResult {
  std::string id;
  Status status = Status::unknown;
  std::string reason;  // why skipped or unknown; else how thorough it was
  double seconds = 0;
  std::uint64_t operations = 0;
  unsigned processes = 0;          // that it ran in, one for each round
  std::vector<std::string> rules;  // that it covers
};

// Where the time went: start_up + (checks + shrinking + idle) / jobs is the
// whole of it.
struct TimeSpent {
  struct Part {
    double seconds = 0;
    unsigned processes = 0;
  };
  Part start_up;    // copying files, probing
  Part checks;      // the sum of all checks
  Part shrinking;   // looking for the shortest sequence
  double idle = 0;  // jobs with nothing left to do, and our own work
  unsigned jobs = 1;
};

enum class Verdict : std::uint8_t { conformant, nonconformant, error, nothing_checked };
std::string_view name(Verdict verdict);  // as in the JSON report

// Everything about a run; complete when Listener::on_end is called.
struct RunSummary {
  Request request;
  std::string plugin_as_given;
  std::vector<std::string> arguments_as_given;
  std::optional<Subject> subject;  // absent when the plugin could not be started
  std::vector<CheckResult> checks;
  std::vector<Finding> findings;       // one per rule, worst first, waived ones last
  std::vector<WaiverOutcome> waivers;  // those that speak of this plugin
  std::vector<std::string> notes;      // "disk.img was copied; the copy is written to", ...
  Severity fail_on = Severity::must;
  Verdict verdict = Verdict::nothing_checked;
  std::string error;  // why nothing was checked, or nbdcheck's own failure
  double seconds = 0;
  TimeSpent time;
  std::uint64_t operations = 0;
  std::size_t rules_total = 0;  // in the catalogue
  std::size_t rules_checked = 0;
  std::size_t rules_not_applicable = 0;
  std::vector<std::string> not_applicable_reasons;  // distinct, for the last line

  [[nodiscard]] int exit_code() const;  // 0, 1, 3, 4
};

class Listener {
 public:
  virtual ~Listener() = default;
  virtual void on_begin(const RunSummary& /*so_far*/) {}
  virtual void on_subject(const Subject& /*subject*/) {}
  // May be called about ten times a second.
  virtual void on_progress(const std::string& /*check*/, std::size_t /*done*/,
                           std::size_t /*total*/, std::uint64_t /*operations*/) {}
  virtual void on_check(const CheckResult& /*result*/) {}
  virtual void on_finding(const Finding& /*finding*/) {}
  virtual void on_end(const RunSummary& /*summary*/) {}
};

// The terminal: progress line, one aligned line per group, findings, last
// line.  `colour` and `width` are the caller's decision; `interactive` allows
// the progress line.
struct TerminalStyle {
  bool colour = false;
  bool interactive = false;
  bool quiet = false;
  bool verbose = false;
  int width = 100;
};
std::unique_ptr<Listener> terminal_listener(std::FILE* out, TerminalStyle style);
// One finding by itself, as that listener prints it.
std::string finding_for_terminal(const Finding& finding, const TerminalStyle& style);

// Writes the JSON report (docs/formats.md) to `path` when the run ends.  The
// file is replaced only when the new one is whole; failure is reported through
// `error()`.
class FileReport : public Listener {
 public:
  [[nodiscard]] virtual std::string error() const = 0;  // empty: written
};
std::unique_ptr<FileReport> json_report(std::string path);
// Writes a line of JSON for each event as it comes.
std::unique_ptr<FileReport> events_report(std::string path);

// Writes `text` to `path` by way of a temporary file and rename; an existing
// file survives any failure.  Returns "" or what went wrong.
std::string write_whole_file(const std::string& path, const std::string& text);
// "" when a report could be written there, else what is wrong; changes nothing.
std::string cannot_write(const std::string& path);

}  // namespace nbdcheck
