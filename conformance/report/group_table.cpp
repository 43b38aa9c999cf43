#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <map>

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

std::string strip_right(std::string text) {
  text.erase(text.find_last_not_of(' ') + 1);
  return text;
}

}  // namespace

std::string group_table(const RunSummary& summary, const Paint& paint) {
  std::map<std::string, Group> groups;
  std::array<std::size_t, columns.size()> widest{};  // of a count; 0: the column is left out
  std::size_t name_width = 10;
  std::size_t operations_width = 1;
  for (const CheckResult& check : summary.checks) {
    const std::string name = printable(check.id.substr(0, check.id.find('.')));
    Group& group = groups[name];
    for (std::size_t i = 0; i < columns.size(); ++i) {
      if (columns[i].status == check.status) ++group.counts[i];
    }
    group.seconds += check.seconds;
    group.operations += check.operations;
    name_width = std::max(name_width, display_width(name));
  }
  for (const auto& [name, group] : groups) {
    for (std::size_t i = 0; i < columns.size(); ++i) {
      if (group.counts[i] == 0) continue;
      widest[i] = std::max(widest[i], std::to_string(group.counts[i]).size());
    }
    operations_width = std::max(operations_width, with_commas(group.operations).size());
  }

  std::string text;
  for (const auto& [name, group] : groups) {
    text += name + std::string(name_width - display_width(name), ' ');
    for (std::size_t i = 0; i < columns.size(); ++i) {
      if (widest[i] == 0) continue;
      const std::string cell =
          fmt::format("{:>{}} {}", group.counts[i], widest[i], columns[i].label);
      text += "  ";
      text += group.counts[i] == 0 ? std::string(cell.size(), ' ')
                                   : painted(columns[i].status, cell, paint);
    }
    text += fmt::format("  {:>{}} operations  {:5.1f} s\n", with_commas(group.operations),
                        operations_width, group.seconds);
  }
  for (const CheckResult& check : summary.checks) {
    if (check.status != Status::unknown) continue;
    text += fmt::format("{}: {} came to no verdict: {}\n", paint.warning("note"),
                        printable(check.id), printable(check.reason));
  }
  return text;
}

std::string check_line(const CheckResult& result, const Paint& paint) {
  const std::string status = fmt::format("{:<14}", label(result.status));
  std::string line =
      fmt::format("{}  {:<34} {:>6.2f} s  {:>12} operations", painted(result.status, status, paint),
                  printable(result.id), result.seconds, with_commas(result.operations));
  if (!result.reason.empty()) line += "  " + printable(result.reason);
  return strip_right(std::move(line)) + "\n";
}

}  // namespace nbdcheck
