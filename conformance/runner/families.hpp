// Which findings are one fault seen by different eyes, and how long a fault may
// be made smaller.
#pragma once

#include <string>

#include "finding.hpp"
#include "job.hpp"
#include "plan/shrink.hpp"
#include "subject.hpp"

namespace nbdcheck {

// The rule speaks of what a read returned.
bool is_about_contents(const std::string& rule);

// Those, and contents that change by themselves.
bool is_what_was_read(const std::string& rule);

// While a sequence gets smaller, one fault may show as another of its family.
bool same_family(const std::string& a, const std::string& b);

// Of a sequence made smaller: what it shows now is the fault that was wanted, or
// the truth about it.
bool still_shows(const std::string& seen, const std::string& wanted);

// The rule speaks of what requests at once do to contents.
bool is_about_requests_at_once(const std::string& rule);

// A fault that one thread shows, and that requests at once show as another.
bool shows_at_once_too(const Finding& finding);

// Found where plain reads and writes were seen to work: no lost write explains it.
bool stands_alone(const Finding& finding);

// Shown by reads and writes of one connection alone.
bool is_plain(const Finding& finding);

ShrinkLimits shrink_limits(Effort effort, const Subject& subject);

}  // namespace nbdcheck
