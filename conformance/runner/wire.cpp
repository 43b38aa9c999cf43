#include "runner/wire.hpp"

#include <nlohmann/json.hpp>

#include "job.hpp"
#include "text/printable.hpp"

namespace nbdcheck {
namespace {

using nlohmann::json;

json finding_out(const Finding& finding) {
  json details = json::array();
  for (const std::string& line : finding.details) details.push_back(escape(line));
  return {{"rule", escape(finding.rule)},
          {"severity", static_cast<int>(finding.severity)},
          {"check", escape(finding.check)},
          {"title", escape(finding.title)},
          {"message", escape(finding.message)},
          {"expected", escape(finding.expected)},
          {"actual", escape(finding.actual)},
          {"shown", finding.shown},
          {"runs", finding.runs},
          {"details", std::move(details)}};
}

std::string text_in(const json& value, const char* key) {
  return unescape(value.at(key).get<std::string>()).value_or("");
}

Finding finding_in(const json& value) {
  Finding finding;
  finding.rule = text_in(value, "rule");
  const int severity = value.at("severity").get<int>();
  if (severity >= 0 && severity <= static_cast<int>(Severity::must))
    finding.severity = static_cast<Severity>(severity);
  finding.check = text_in(value, "check");
  finding.title = text_in(value, "title");
  finding.message = text_in(value, "message");
  finding.expected = text_in(value, "expected");
  finding.actual = text_in(value, "actual");
  finding.shown = value.at("shown").get<unsigned>();
  finding.runs = value.at("runs").get<unsigned>();
  for (const json& line : value.at("details"))
    finding.details.push_back(unescape(line.get<std::string>()).value_or(""));
  return finding;
}

}  // namespace

std::string to_line(const ChildEvent& event) {
  json line;
  switch (event.kind) {
    case ChildEvent::Kind::subject: {
      // A subject travels as the job that carries it.
      Job job;
      job.subject = event.subject;
      line = {{"event", "subject"}, {"job", to_json(job)}};
      break;
    }
    case ChildEvent::Kind::finding:
      line = {{"event", "finding"},
              {"finding", finding_out(event.finding)},
              {"sequence", event.sequence_length}};
      break;
    case ChildEvent::Kind::unknown:
      line = {{"event", "unknown"}, {"text", escape(event.text)}};
      break;
    case ChildEvent::Kind::not_applicable:
      line = {{"event", "not-applicable"}, {"text", escape(event.text)}};
      break;
    case ChildEvent::Kind::remark:
      line = {{"event", "remark"}, {"text", escape(event.text)}};
      break;
    case ChildEvent::Kind::schedule:
      line = {{"event", "schedule"}, {"text", escape(event.text)}};
      break;
    case ChildEvent::Kind::reproduced:
      line = {{"event", "reproduced"}, {"shown", event.shown}, {"text", escape(event.text)}};
      break;
    case ChildEvent::Kind::done:
      line = {{"event", "done"}, {"operations", event.operations}};
      break;
  }
  return line.dump();
}

std::optional<ChildEvent> event_from_line(std::string_view text) {
  try {
    const json line = json::parse(text);
    const auto kind = line.at("event").get<std::string>();
    ChildEvent event;
    if (kind == "subject") {
      event.kind = ChildEvent::Kind::subject;
      auto job = job_from_json(line.at("job").get<std::string>());
      if (!job) return std::nullopt;
      event.subject = std::move(job->subject);
    } else if (kind == "finding") {
      event.kind = ChildEvent::Kind::finding;
      event.finding = finding_in(line.at("finding"));
      event.sequence_length = line.at("sequence").get<std::uint64_t>();
    } else if (kind == "unknown") {
      event.kind = ChildEvent::Kind::unknown;
      event.text = text_in(line, "text");
    } else if (kind == "not-applicable") {
      event.kind = ChildEvent::Kind::not_applicable;
      event.text = text_in(line, "text");
    } else if (kind == "remark") {
      event.kind = ChildEvent::Kind::remark;
      event.text = text_in(line, "text");
    } else if (kind == "schedule") {
      event.kind = ChildEvent::Kind::schedule;
      event.text = text_in(line, "text");
    } else if (kind == "reproduced") {
      event.kind = ChildEvent::Kind::reproduced;
      event.shown = line.at("shown").get<bool>();
      event.text = text_in(line, "text");
    } else if (kind == "done") {
      event.operations = line.at("operations").get<std::uint64_t>();
    } else {
      return std::nullopt;
    }
    return event;
  } catch (const json::exception&) {
    return std::nullopt;
  }
}

}  // namespace nbdcheck
