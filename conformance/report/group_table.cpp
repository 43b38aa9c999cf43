#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <map>
#include <string>
#include <vector>

#include "report/tables.hpp"
#include "text/printable.hpp"

namespace nbdcheck {
namespace {

struct Column {
  Status status;
  std::string_view label;
};
constexpr std::array<Column, 6> columns{{{Status::passed, "passed"},
                                         {Status::failed, "failed"},
                                         {Status::crashed, "crashed"},
                                         {Status::hung, "hung"},
                                         {Status::unknown, "no verdict"},
                                         {Status::skipped, "not applicable"}}};

struct Group {
  std::array<std::size_t, columns.size()> counts{};
  double seconds = 0;
  std::uint64_t operations = 0;
};

std::string painted(Status status, std::string_view text, const Paint& paint) {
  switch (status) {
    case Status::passed:
      return paint.good(text);
    case Status::failed:
    case Status::crashed:
    case Status::hung:
      return paint.bad(text);
    case Status::unknown:
      return paint.warning(text);
    case Status::skipped:
      return paint.dim(text);
  }
  return std::string(text);
}

std::string_view label(Status status) {
  for (const Column& column : columns) {
    if (column.status == status) return column.label;
  }
  return "unknown";
}

struct Widths {
  std::size_t name = 10;
  std::array<std::size_t, columns.size()> counts{};  // 0: no group has any
  std::size_t operations = 1;

  void include(const std::string& group_name, const Group& group) {
    name = std::max(name, display_width(group_name));
    operations = std::max(operations, with_commas(group.operations).size());
    for (std::size_t i = 0; i < columns.size(); ++i) {
      if (group.counts[i] == 0) continue;
      counts[i] = std::max(counts[i], std::to_string(group.counts[i]).size());
    }
  }
  [[nodiscard]] std::size_t all_counts() const {
    std::size_t sum = 0;
    for (std::size_t i = 0; i < columns.size(); ++i) {
      if (counts[i] != 0) sum += 2 + counts[i] + 1 + columns[i].label.size();
    }
    return sum;
  }
};

struct Counts {
  std::string text;
  std::size_t width = 0;  // without the colours
};

// "  8 passed  1 failed"; `aligned`: with room for what other groups have.
Counts counts_text(const Group& group, const Widths& widths, bool aligned, const Paint& paint) {
  Counts counts;
  for (std::size_t i = 0; i < columns.size(); ++i) {
    if (widths.counts[i] == 0 || (group.counts[i] == 0 && !aligned)) continue;
    const std::string cell =
        fmt::format("{:>{}} {}", group.counts[i], widths.counts[i], columns[i].label);
    counts.text += "  ";
    counts.text += group.counts[i] == 0 ? std::string(cell.size(), ' ')
                                        : painted(columns[i].status, cell, paint);
    counts.width += 2 + cell.size();
  }
  return counts;
}

std::string strip_right(std::string text) {
  text.erase(text.find_last_not_of(' ') + 1);
  return text;
}

}  // namespace

std::string group_table(const RunSummary& summary, const Paint& paint, int width) {
  std::map<std::string, Group> groups;
  for (const CheckResult& check : summary.checks) {
    Group& group = groups[printable(check.id.substr(0, check.id.find('.')))];
    for (std::size_t i = 0; i < columns.size(); ++i) {
      if (columns[i].status == check.status) ++group.counts[i];
    }
    group.seconds += check.seconds;
    group.operations += check.operations;
  }

  Widths widths;
  for (const auto& [name, group] : groups) widths.include(name, group);
  constexpr std::size_t tail = 23;  // "  ", " operations", "  12345.6 s"
  const bool aligned = widths.name + widths.all_counts() + widths.operations + tail <=
                       static_cast<std::size_t>(width);

  std::map<std::string, Counts> cells;
  std::size_t counts_width = 0;
  for (const auto& [name, group] : groups) {
    Counts& counts = cells[name] = counts_text(group, widths, aligned, paint);
    counts_width = std::max(counts_width, counts.width);
  }
  std::string text;
  for (const auto& [name, group] : groups) {
    const Counts& counts = cells[name];
    text += name + std::string(widths.name - display_width(name), ' ') + counts.text +
            std::string(counts_width - counts.width, ' ');
    text += fmt::format("  {:>{}} operations  {:5.1f} s\n", with_commas(group.operations),
                        widths.operations, group.seconds);
  }
  // Many for one reason (the plugin hangs) are one line.
  std::map<std::string, std::vector<std::string>> undecided;
  for (const CheckResult& check : summary.checks)
    if (check.status == Status::unknown) undecided[check.reason].push_back(check.id);
  for (const auto& [reason, checks] : undecided)
    text += fmt::format("{}: {} came to no verdict: {}\n", paint.warning("note"),
                        checks.size() > 3 ? fmt::format("{} checks", checks.size())
                                          : printable(fmt::format("{}", fmt::join(checks, ", "))),
                        printable(reason));
  return text;
}

std::string time_table(const TimeSpent& time) {
  const auto row = [](std::string_view what, const TimeSpent::Part& part) {
    return fmt::format("{:<10}{:>9.2f} s  {:>4} process{}\n", what, part.seconds, part.processes,
                       part.processes == 1 ? "" : "es");
  };
  return row("start-up", time.start_up) + row("checks", time.checks) +
         row("shrinking", time.shrinking) +
         fmt::format("{:<10}{:>9.2f} s  {} at a time\n", "idle", time.idle, time.jobs);
}

std::string check_line(const CheckResult& result, const Paint& paint) {
  const std::string status = fmt::format("{:<14}", label(result.status));
  std::string line = fmt::format("{}  {:<34} {:>6.2f} s  {:>12} operations  {:>3} process{}",
                                 painted(result.status, status, paint), printable(result.id),
                                 result.seconds, with_commas(result.operations), result.processes,
                                 result.processes == 1 ? "  " : "es");
  if (!result.reason.empty()) line += "  " + printable(result.reason);
  return strip_right(std::move(line)) + "\n";
}

}  // namespace nbdcheck
