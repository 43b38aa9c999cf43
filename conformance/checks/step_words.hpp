// What a copy that runs meetings tells the check, in a line each, and what the
// check makes of it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "checks/step_session.hpp"

namespace nbdcheck {

struct StepTold {
  // stuck: one of the two did not end.
  enum class What : std::uint8_t { wrong, torn_sector, torn_read, stuck };
  What what = What::wrong;
  std::string a;  // the requests, as calls
  std::string b;
  std::string place;  // where A was stopped
  std::string message;
  std::string expected;
  std::string actual;
  bool a_stuck = false;
  std::uint64_t area = 0;
  bool by_chance = false;  // the same meeting did not show it again
  std::string schedule;    // StepSchedule; "": all are explored again
};

StepTold told_of(const Meeting& meeting, std::string place);
std::string to_line(const StepTold& told);
std::optional<StepTold> told_from_line(const std::string& line);

// One meeting, to be found again.
struct StepSchedule {
  std::uint64_t pair = 0;  // in step_pairs()
  std::uint64_t area = 0;
  std::uint64_t point = 0;  // where A is stopped, from the begin of the plugin's code
  std::uint32_t pass = 1;   // when it is there for that time
};
std::string to_text(const StepSchedule& schedule);
std::optional<StepSchedule> schedule_from_text(const std::string& text);

// "WORD" and what follows, in one line; no value: another word.
std::string word_line(const char* word, const std::string& text);
std::optional<std::string> text_after(const char* word, const std::string& line);

// `deadlock`: who waits for whom, where that is known.
Violation violation_of(const StepTold& told, const std::vector<std::string>& deadlock);

}  // namespace nbdcheck
