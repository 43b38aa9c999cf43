#include "checks/step_words.hpp"

#include <fmt/format.h>

#include <charconv>
#include <utility>

namespace nbdcheck {
namespace {

constexpr char separator = '\x1f';
constexpr std::size_t field_count = 11;

std::vector<std::string> fields(const std::string& line) {
  std::vector<std::string> result;
  std::size_t begin = 0;
  for (std::size_t end = 0; end != line.npos; begin = end + 1) {
    end = line.find(separator, begin);
    result.push_back(line.substr(begin, end == line.npos ? line.npos : end - begin));
  }
  return result;
}

std::uint64_t number(const std::string& text) {
  std::uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

const char* rule_of(StepTold::What what) {
  switch (what) {
    case StepTold::What::torn_sector:
      return "concurrency.torn-sector";
    case StepTold::What::torn_read:
      return "concurrency.atomic";
    case StepTold::What::stuck:
      return "process.hang";
    default:
      return "concurrency.regular";
  }
}

// Threads as columns, time down.
std::vector<std::string> schedule(const StepTold& told) {
  constexpr std::size_t column = 40;
  std::vector<std::string> lines{fmt::format("{:{}}{}", "thread A", column, "thread B"), told.a,
                                 fmt::format("  | at {}", told.place),
                                 fmt::format("{:{}}{}", "", column, told.b)};
  if (told.what == StepTold::What::stuck) {
    lines.push_back(fmt::format("{:{}}{}", told.a_stuck ? "  | never ends" : "  |", column,
                                told.a_stuck ? "" : "  | never ends"));
  } else {
    lines.push_back(fmt::format("{:{}}{}", "  |", column, "  end"));
    lines.emplace_back("  end");
  }
  return lines;
}

}  // namespace

StepTold told_of(const Meeting& meeting, std::string place) {
  StepTold told;
  told.a = meeting.requests[0];
  told.b = meeting.requests[1];
  told.place = std::move(place);
  told.a_stuck = meeting.outcome.a_stuck;
  told.area = meeting.area;
  if (meeting.outcome.a_stuck || meeting.outcome.b_stuck) {
    told.what = StepTold::What::stuck;
  } else if (meeting.clash) {
    told.message = meeting.clash->message;
    told.expected = meeting.clash->expected;
    told.actual = meeting.clash->actual;
    told.what = meeting.clash->kind == Clash::Kind::wrong         ? StepTold::What::wrong
                : meeting.clash->kind == Clash::Kind::torn_sector ? StepTold::What::torn_sector
                                                                  : StepTold::What::torn_read;
  }
  return told;
}

std::string to_line(const StepTold& told) {
  return fmt::format("told{0}{1}{0}{2}{0}{3}{0}{4}{0}{5}{0}{6}{0}{7}{0}{8}{0}{9}{0}{10}", separator,
                     static_cast<int>(told.what), told.a, told.b, told.place, told.message,
                     told.expected, told.actual, told.a_stuck ? 1 : 0, told.area, told.schedule);
}

std::optional<StepTold> told_from_line(const std::string& line) {
  auto parts = fields(line);
  if (parts.size() != field_count || parts[0] != "told") return std::nullopt;
  StepTold told;
  told.what = static_cast<StepTold::What>(
      std::min<std::uint64_t>(number(parts[1]), static_cast<std::uint64_t>(StepTold::What::stuck)));
  told.a = std::move(parts[2]);
  told.b = std::move(parts[3]);
  told.place = std::move(parts[4]);
  told.message = std::move(parts[5]);
  told.expected = std::move(parts[6]);
  told.actual = std::move(parts[7]);
  told.a_stuck = parts[8] == "1";
  told.area = number(parts[9]);
  told.schedule = std::move(parts[10]);
  return told;
}

std::string to_text(const StepSchedule& schedule) {
  return fmt::format("pair={} area={} point={} pass={}", schedule.pair, schedule.area,
                     schedule.point, schedule.pass);
}

std::optional<StepSchedule> schedule_from_text(const std::string& text) {
  StepSchedule schedule;
  std::string_view rest = text;
  const auto take = [&rest](std::string_view key, auto& value) {
    if (!rest.starts_with(key)) return false;
    rest.remove_prefix(key.size());
    const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), value);
    if (error != std::errc()) return false;
    rest.remove_prefix(static_cast<std::size_t>(end - rest.data()));
    return true;
  };
  const bool good = take("pair=", schedule.pair) && take(" area=", schedule.area) &&
                    take(" point=", schedule.point) && take(" pass=", schedule.pass);
  if (!good || !rest.empty()) return std::nullopt;
  return schedule;
}

std::string word_line(const char* word, const std::string& text) {
  return fmt::format("{}{}{}", word, separator, text);
}

std::optional<std::string> text_after(const char* word, const std::string& line) {
  auto parts = fields(line);
  if (parts.size() != 2 || parts[0] != word) return std::nullopt;
  return std::move(parts[1]);
}

Violation violation_of(const StepTold& told, const std::vector<std::string>& deadlock) {
  Violation v;
  v.rule = rule_of(told.what);
  v.details = schedule(told);
  if (told.what == StepTold::What::stuck) {
    v.message = fmt::format(
        "A, {}, was stopped on its way, and B, {}, ran on another thread: {} never ends.", told.a,
        told.b, told.a_stuck ? "A" : "B");
    v.expected = "both come to their end";
    v.details.insert(v.details.end(), deadlock.begin(), deadlock.end());
    return v;
  }
  v.message = fmt::format("A, {}, was stopped on its way while B, {}, ran on another thread. {}",
                          told.a, told.b, told.message);
  v.expected = told.expected;
  v.actual = told.actual;
  if (told.by_chance)
    v.details.emplace_back(
        "the same meeting alone did not show it again: a replay explores all of them, and "
        "may need several runs");
  return v;
}

}  // namespace nbdcheck
