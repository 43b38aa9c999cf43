// The end of a run: what was checked, what the waivers say, the verdict.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "runner/kept_rules.hpp"
#include "runner/process_rules.hpp"
#include "runner/runner.hpp"
#include "runner/seconds.hpp"
#include "waivers/apply.hpp"

namespace nbdcheck {

void Runner::add_up_time() {
  TimeSpent& time = summary_.time;
  summary_.seconds = seconds_since(options_.begin);
  for (const CheckResult& check : summary_.checks) {
    time.checks.seconds += check.seconds;
    time.checks.processes += check.processes;
  }
  const double used = time.checks.seconds + time.shrinking.seconds;
  time.idle = std::max(0.0, (summary_.seconds - time.start_up.seconds) * time.jobs - used);
}

// Rules that were seen to be broken and are not told by findings of their own.
void Runner::note_explained() {
  std::map<std::string, std::vector<std::string>> symptoms;  // by what may explain them
  for (const auto& [rule, by] : explained_)
    if (std::ranges::find(summary_.findings, rule, &Finding::rule) == summary_.findings.end())
      symptoms[by].push_back(rule);
  for (const auto& [by, rules] : symptoms)
    summary_.notes.push_back(fmt::format("{} {} broken, too, which {} may explain: mend that first",
                                         fmt::join(rules, ", "), rules.size() == 1 ? "is" : "are",
                                         by));
}

void Runner::note_other_exports() {
  const bool refused = std::ranges::any_of(summary_.checks, [](const CheckResult& check) {
    return check.status == Status::unknown && (check.reason.starts_with(".open failed") ||
                                               check.reason.starts_with(".default_export failed"));
  });
  if (!summary_.subject && refused && options_.request.export_name.empty())
    summary_.notes.emplace_back(
        "the default export, whose name is empty, does not open: --exportname=NAME chooses "
        "another");
}

void Runner::conclude() {
  add_up_time();
  note_other_exports();
  note_explained();
  std::stable_sort(summary_.findings.begin(), summary_.findings.end(),
                   [](const Finding& a, const Finding& b) {
                     if (a.waived.has_value() != b.waived.has_value()) return !a.waived;
                     return a.severity > b.severity;
                   });
  std::sort(summary_.checks.begin(), summary_.checks.end(),
            [](const CheckResult& a, const CheckResult& b) { return a.id < b.id; });
  std::set<std::string> checked;
  std::set<std::string> skipped;
  std::set<std::string> reasons;
  for (const CheckResult& check : summary_.checks) {
    auto& rules =
        check.status == Status::skipped || check.status == Status::unknown ? skipped : checked;
    rules.insert(check.rules.begin(), check.rules.end());
    if (check.status == Status::skipped) reasons.insert(check.reason);
  }
  // Any check can run into these.
  if (summary_.subject)
    for (const std::string_view rule : runner_rules()) checked.insert(std::string(rule));
  std::erase_if(skipped, [&](const std::string& rule) { return checked.contains(rule); });
  summary_.rules_checked = checked.size();
  summary_.rules_not_applicable = skipped.size();
  summary_.not_applicable_reasons.assign(reasons.begin(), reasons.end());

  summary_.waivers =
      outcomes(waivers(), summary_.findings,
               kept_rules(all_checks(), summary_.checks, runner_rules()), options_.today);

  const bool bad =
      std::any_of(summary_.findings.begin(), summary_.findings.end(),
                  [&](const Finding& f) { return !f.waived && f.severity >= summary_.fail_on; });
  const bool any_passed =
      std::any_of(summary_.checks.begin(), summary_.checks.end(), [](const CheckResult& c) {
        return c.status == Status::passed || c.status == Status::failed;
      });
  if (bad)
    summary_.verdict = Verdict::nonconformant;
  else if (!summary_.subject || !any_passed)
    summary_.verdict = Verdict::nothing_checked;
  else
    summary_.verdict = Verdict::conformant;
  tell([&](Listener& l) { l.on_end(summary_); });
}

}  // namespace nbdcheck
