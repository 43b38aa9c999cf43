// What the end of a child says about the plugin: crash, hang, exit.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "finding.hpp"
#include "nbdcheck/sandbox.hpp"

namespace nbdcheck {

// Rules that no check names, because any check can run into them.
std::span<const std::string_view> runner_rules();

// The finding that this end amounts to; nothing when the child ended as it
// should.  `check` is what was running.
std::optional<Finding> finding_from_end(const ChildEnd& end, const std::string& check,
                                        std::string_view plugin = {});

// Whether what this check found is to be seen again in the real nbdkit only.
bool seen_in_nbdkit(std::string_view rule, std::string_view check);
// A check that stops threads by SIGTRAP stopped one that blocks all signals, which
// is the end of the process and no fault of the plugin's.
bool trap_was_blocked(const ChildEnd& end, const std::string& check);
// The plugin ended the process by abort or exit when nbdkit_add_extent failed: a
// policy many programs have where there is no memory.
bool gave_up_without_memory(const ChildEnd& end);

// A hang with all of our threads in code of our own, none in the plugin: whatever
// it is, the plugin cannot be shown to have done it.
bool stood_still_by_itself(const ChildEnd& end);

// Two ends that show the same fault, for shrinking.
bool same_fault(const ChildEnd& a, const ChildEnd& b);

}  // namespace nbdcheck
