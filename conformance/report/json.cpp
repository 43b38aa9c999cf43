// The JSON report, schema 1; docs/formats.md describes it.
#include <cmath>
#include <nlohmann/json.hpp>

#include "report/event.hpp"
#include "text/printable.hpp"

namespace nbdcheck {
namespace {

// Ordered: people read these files, and diff them.
using json = nlohmann::ordered_json;

json text(const std::string& value) { return valid_utf8(value); }
json text_or_null(const std::string& value) { return value.empty() ? json() : text(value); }

json texts(const std::vector<std::string>& values) {
  json array = json::array();
  for (const std::string& value : values) array.push_back(valid_utf8(value));
  return array;
}

// Milliseconds are exact enough, and JSON has no NaN.
json seconds(double value) {
  return std::isfinite(value) ? json(std::round(value * 1000) / 1000) : json(0.0);
}

json plugin_json(const RunSummary& summary) {
  json value = {{"path", text(summary.plugin_as_given)}};
  if (summary.subject) {
    const Subject& subject = *summary.subject;
    if (!subject.plugin.path.empty()) value["path"] = text(subject.plugin.path);
    value["name"] = text(subject.plugin.name);
    value["version"] = text_or_null(subject.plugin.version);
    value["api_version"] = subject.plugin.api_version;
    value["thread_model"] = name(subject.thread_model);
    value["sha256"] = text_or_null(subject.sha256);
  } else {
    for (const char* const key : {"name", "version", "api_version", "thread_model", "sha256"}) {
      value[key] = nullptr;
    }
  }
  value["args"] = texts(summary.arguments_as_given);
  return value;
}

json export_json(const RunSummary& summary) {
  if (!summary.subject) return nullptr;
  const Subject& subject = *summary.subject;
  return {{"name", text(subject.info.name)},
          {"size", subject.info.size},
          {"persistence", name(subject.persistence)},
          {"remarks", texts(subject.remarks)}};
}

json check_json(const CheckResult& check) {
  return {{"id", text(check.id)},
          {"status", name(check.status)},
          {"reason", text_or_null(check.reason)},
          {"seconds", seconds(check.seconds)},
          {"operations", check.operations},
          {"processes", check.processes},
          {"rules", texts(check.rules)}};
}

json time_json(const TimeSpent& time) {
  const auto part = [](const TimeSpent::Part& of) {
    return json{{"seconds", seconds(of.seconds)}, {"processes", of.processes}};
  };
  return {{"start_up", part(time.start_up)},
          {"checks", part(time.checks)},
          {"shrinking", part(time.shrinking)},
          {"idle", {{"seconds", seconds(time.idle)}}},
          {"jobs", time.jobs}};
}

json waived_json(const std::optional<Waived>& waived) {
  if (!waived) return nullptr;
  return {{"reason", text(waived->reason)}, {"until", text_or_null(waived->until)}};
}

json waiver_json(const WaiverOutcome& outcome) {
  return {{"rule", text(outcome.waiver.rule)},     {"plugin", text(outcome.waiver.plugin)},
          {"reason", text(outcome.waiver.reason)}, {"until", text_or_null(outcome.waiver.until)},
          {"where", text(outcome.waiver.where)},   {"state", name(outcome.state)}};
}

json finding_json(const Finding& finding) {
  json calls = json::array();
  json operations;
  if (finding.plan) {
    for (const Operation& op : finding.plan->operations) calls.push_back(describe(op));
    operations = finding.plan->operations.size();
  }
  return {{"rule", text(finding.rule)},
          {"severity", name(finding.severity)},
          {"check", text(finding.check)},
          {"title", text(finding.title)},
          {"message", text(finding.message)},
          {"expected", text_or_null(finding.expected)},
          {"actual", text_or_null(finding.actual)},
          {"details", texts(finding.details)},
          {"plan", text_or_null(finding.plan_path)},
          {"nbdsh", text_or_null(finding.nbdsh_path)},
          {"operations", operations},
          {"original_operations",
           finding.original_operations == 0 ? json() : json(finding.original_operations)},
          {"calls", calls},
          {"occurrences", finding.occurrences},
          {"replay", text_or_null(finding.replay_command)},
          {"confirmed_on_nbdkit",
           finding.confirmed_on_nbdkit ? json(*finding.confirmed_on_nbdkit) : json()},
          {"on_nbdkit", text_or_null(finding.on_nbdkit)},
          {"waived", waived_json(finding.waived)}};
}

std::string_view fail_on(Severity severity) {
  switch (severity) {
    case Severity::quality:
      return "quality";
    case Severity::should:
      return "should";
    case Severity::must:
      break;
  }
  return "must";
}

class JsonReport final : public FileReport {
 public:
  explicit JsonReport(std::string path) : path_(std::move(path)) {}

  void on_end(const RunSummary& summary) override {
    json checks = json::array();
    for (const CheckResult& check : summary.checks) checks.push_back(check_json(check));
    json findings = json::array();
    for (const Finding& finding : summary.findings) findings.push_back(finding_json(finding));
    json waivers = json::array();
    for (const WaiverOutcome& outcome : summary.waivers) waivers.push_back(waiver_json(outcome));
    const json report = {{"nbdcheck", NBDCHECK_VERSION},
                         {"schema", 1},
                         {"plugin", plugin_json(summary)},
                         {"export", export_json(summary)},
                         {"verdict", name(summary.verdict)},
                         {"exit_code", summary.exit_code()},
                         {"error", text_or_null(summary.error)},
                         {"fail_on", fail_on(summary.fail_on)},
                         {"seed", summary.request.seed},
                         {"seconds", seconds(summary.seconds)},
                         {"time", time_json(summary.time)},
                         {"operations", summary.operations},
                         {"rules",
                          {{"total", summary.rules_total},
                           {"checked", summary.rules_checked},
                           {"not_applicable", summary.rules_not_applicable}}},
                         {"checks", checks},
                         {"findings", findings},
                         {"waivers", waivers},
                         {"notes", texts(summary.notes)}};
    error_ = write_whole_file(path_, report.dump(2) + "\n");
  }

  [[nodiscard]] std::string error() const override { return error_; }

 private:
  std::string path_;
  std::string error_ = "the run did not end";
};

}  // namespace

std::unique_ptr<FileReport> json_report(std::string path) {
  return std::make_unique<JsonReport>(std::move(path));
}

}  // namespace nbdcheck
