// What a child tells its parent: one JSON object a line.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "finding.hpp"
#include "subject.hpp"

namespace nbdcheck {

struct ChildEvent {
  enum class Kind {
    subject,  // a probe's answer
    finding,
    unknown,         // the check could not decide: `text` says why
    not_applicable,  // it found that it does not concern this plugin: `text` says why
    remark,          // how thorough it was, in `text`
    schedule,        // how what it finds next is found again, in `text`
    reproduced,      // of a script: `shown`, and what it printed last in `text`
    done,            // the check ran to its end
  };
  Kind kind = Kind::done;
  Subject subject;
  Finding finding;
  // finding: that many operations of the log lead to it; 0: no sequence.
  std::uint64_t sequence_length = 0;
  std::string text;
  std::uint64_t operations = 0;
  bool shown = false;
};

std::string to_line(const ChildEvent& event);
// Nothing for a line that is not one of ours: the plugin may write anything.
std::optional<ChildEvent> event_from_line(std::string_view line);

}  // namespace nbdcheck
