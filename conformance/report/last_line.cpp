#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "report/tables.hpp"
#include "text/printable.hpp"

namespace nbdcheck {
namespace {

constexpr std::size_t most_named = 3;

// "a, b, c and 4 more"
std::string some_of(const std::vector<std::string>& names) {
  std::string text;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (i == most_named && names.size() > most_named + 1) {
      return text + fmt::format(" and {} more", names.size() - i);
    }
    if (i != 0) text += ", ";
    text += printable(names[i]);
  }
  return text;
}

// "2 MUST, 1 SHOULD (data.a, data.b, zero.c)"
std::string finding_counts(const RunSummary& summary) {
  std::string counts;
  std::vector<std::string> rules;
  for (const Severity severity : {Severity::must, Severity::should, Severity::quality}) {
    std::size_t count = 0;
    for (const Finding& finding : summary.findings) {
      if (finding.severity != severity || finding.waived) continue;
      ++count;
      rules.push_back(finding.rule);
    }
    if (count != 0)
      counts += fmt::format("{}{} {}", counts.empty() ? "" : ", ", count, name(severity));
  }
  if (counts.empty()) return counts;
  return fmt::format("{} ({})", counts, some_of(rules));
}

// "1 waived (data.a), 1 waiver expired, 2 not needed"
std::string waiver_counts(const RunSummary& summary) {
  std::vector<std::string> waived;
  for (const Finding& finding : summary.findings)
    if (finding.waived) waived.push_back(finding.rule);
  std::vector<std::string> parts;
  if (!waived.empty())
    parts.push_back(fmt::format("{} waived ({})", waived.size(), some_of(waived)));
  for (const auto& [state, word] :
       {std::pair{WaiverState::expired, "expired"}, {WaiverState::unneeded, "not needed"}}) {
    const auto count = std::count_if(summary.waivers.begin(), summary.waivers.end(),
                                     [s = state](const WaiverOutcome& o) { return o.state == s; });
    if (count != 0)
      parts.push_back(fmt::format("{} waiver{} {}", count, count == 1 ? "" : "s", word));
  }
  return fmt::format("{}", fmt::join(parts, ", "));
}

std::string rule_counts(const RunSummary& summary) {
  std::string text =
      fmt::format("{} of {} rules checked", summary.rules_checked, summary.rules_total);
  if (summary.rules_not_applicable != 0) {
    text += fmt::format(", {} not applicable", summary.rules_not_applicable);
    if (!summary.not_applicable_reasons.empty()) {
      text += fmt::format(" ({})", some_of(summary.not_applicable_reasons));
    }
  }
  const std::size_t accounted = summary.rules_checked + summary.rules_not_applicable;
  if (accounted < summary.rules_total) {
    text += fmt::format(", {} not run", summary.rules_total - accounted);
  }
  return text;
}

// Why no verdict was reached, where nothing failed.
std::string nothing_because(const RunSummary& summary) {
  for (const CheckResult& check : summary.checks)
    if (check.status == Status::unknown)
      return fmt::format("undecided ({}: {})", check.id, printable(check.reason));
  if (!summary.not_applicable_reasons.empty())
    return fmt::format("not applicable ({})", some_of(summary.not_applicable_reasons));
  return "no check was selected";
}

std::string headline(const RunSummary& summary, const Paint& paint) {
  const std::string why = printable(summary.error);
  switch (summary.verdict) {
    case Verdict::conformant:
      return paint.good("CONFORMANT") + ": ";
    case Verdict::nonconformant:
      return paint.bad("NOT CONFORMANT") + ": ";
    case Verdict::error:
      return paint.bad("ERROR") + ": " + (why.empty() ? "nbdcheck failed" : why) + "; ";
    case Verdict::nothing_checked:
      return paint.warning("NOTHING CHECKED") + ": " +
             (why.empty() ? nothing_because(summary) : why) + "; ";
  }
  return "";
}

}  // namespace

std::string last_line(const RunSummary& summary, const Paint& paint) {
  std::string line = headline(summary, paint);
  const std::string findings = finding_counts(summary);
  if (!findings.empty()) line += findings + "; ";
  const std::string waivers = waiver_counts(summary);
  if (!waivers.empty()) line += waivers + "; ";
  if (summary.verdict != Verdict::nothing_checked) {
    line += fmt::format("{}; {} operations in {:.1f} s; ", rule_counts(summary),
                        with_commas(summary.operations), summary.seconds);
  }
  return line + fmt::format("seed {}\n", summary.request.seed);
}

}  // namespace nbdcheck
