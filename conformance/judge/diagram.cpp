// A few operations that ran at once, as a picture: threads are columns, time
// goes down.
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "judge/concurrent.hpp"

namespace nbdcheck {
namespace {

struct Moment {
  std::int64_t time;
  bool ends;
  std::size_t record;
};

std::string words(const TimedRecord& record, std::size_t index, bool ends) {
  if (!ends) return fmt::format("+ [{}] {}", index + 1, describe(record.operation));
  return record.error == 0 ? "+ done" : fmt::format("+ failed ({})", record.error);
}

}  // namespace

std::vector<std::string> space_time_diagram(std::span<const TimedRecord> history,
                                            std::span<const std::size_t> witness) {
  if (witness.empty()) return {};
  std::vector<Moment> moments;
  std::map<unsigned, std::size_t> columns;  // of the threads
  std::int64_t start = INT64_MAX;
  std::size_t width = 12;
  for (const std::size_t index : witness) {
    const TimedRecord& record = history[index];
    moments.push_back({record.begin, false, index});
    moments.push_back({record.end, true, index});
    columns[record.operation.thread] = 0;
    start = std::min(start, record.begin);
    width = std::max(width, words(record, index, false).size() + 2);
  }
  std::size_t number = 0;
  for (auto& entry : columns) entry.second = number++;
  std::stable_sort(moments.begin(), moments.end(), [](const Moment& a, const Moment& b) {
    return a.time != b.time ? a.time < b.time : a.ends < b.ends;
  });

  std::vector<std::string> lines;
  std::string head = "      time  ";
  for (const auto& entry : columns)
    head += fmt::format("{:<{}}", fmt::format("thread {}", entry.first), width);
  lines.push_back(head.substr(0, head.find_last_not_of(' ') + 1));
  std::vector<bool> busy(columns.size(), false);
  for (const Moment& moment : moments) {
    const TimedRecord& record = history[moment.record];
    const std::size_t mine = columns[record.operation.thread];
    std::string line = fmt::format("{:7.1f} us  ", static_cast<double>(moment.time - start) / 1000);
    for (std::size_t c = 0; c < columns.size(); ++c) {
      const std::string cell = c == mine ? words(record, moment.record, moment.ends)
                               : busy[c] ? "|"
                                         : "";
      line += fmt::format("{:<{}}", cell, width);
    }
    busy[mine] = !moment.ends;
    lines.push_back(line.substr(0, line.find_last_not_of(' ') + 1));
  }
  return lines;
}

}  // namespace nbdcheck
