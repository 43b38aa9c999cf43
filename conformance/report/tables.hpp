// The parts of the terminal report that are pure text.  All text that came
// from outside is made printable here.
#pragma once

#include <string>

#include "report/event.hpp"
#include "report/paint.hpp"

namespace nbdcheck {

// "./p.so size=1G" and below it what the plugin is.
std::string subject_text(const RunSummary& so_far, const Subject& subject, int width);
// One line for each group of checks, columns aligned as far as `width` allows,
// then one for each reason why checks came to no verdict.
std::string group_table(const RunSummary& summary, const Paint& paint, int width);
// --verbose: one line for one check.
std::string check_line(const CheckResult& result, const Paint& paint);
// --verbose: where the time went.
std::string time_table(const TimeSpent& time);
// A finding as a bug report.
std::string finding_text(const Finding& finding, const Paint& paint, int width);
// The last line, which can be quoted.
std::string last_line(const RunSummary& summary, const Paint& paint);

}  // namespace nbdcheck
