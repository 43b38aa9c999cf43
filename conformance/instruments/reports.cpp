#include "instruments/reports.hpp"

#include <algorithm>
#include <array>
#include <cctype>

namespace nbdcheck {
namespace {

constexpr std::size_t most_lines = 60;

struct Heading {
  std::string_view mark;  // what a report of this tool begins with, somewhere in a line
  std::string_view tool;
};

constexpr std::array headings{
    Heading{"ERROR: AddressSanitizer: ", "AddressSanitizer"},
    Heading{"WARNING: ThreadSanitizer: ", "ThreadSanitizer"},
    Heading{"FATAL: ThreadSanitizer: ", "ThreadSanitizer"},
    Heading{"ERROR: ThreadSanitizer: ", "ThreadSanitizer"},
    Heading{": runtime error: ", "UndefinedBehaviorSanitizer"},
    Heading{"ERROR: UndefinedBehaviorSanitizer: ", "UndefinedBehaviorSanitizer"},
};

std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const auto end = text.find('\n');
    lines.push_back(text.substr(0, end));
    text.remove_prefix(end == text.npos ? text.size() : end + 1);
  }
  return lines;
}

bool contains(std::string_view text, std::string_view part) { return text.find(part) != text.npos; }

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  return text;
}

// "#1 0x7f.. in f file.c:12 (/p.so+0x123)", or valgrind's "by 0x48..: f (file.c:12)"
bool is_frame(std::string_view line) {
  line = trimmed(line);
  return (line.starts_with('#') && line.size() > 1 && std::isdigit(line[1]) != 0) ||
         line.starts_with("at 0x") || line.starts_with("by 0x");
}

// Of ours, or of what carries us: nobody can mend the plugin there.
bool is_frame_of_ours(std::string_view line) {
  return contains(line, "nbdcheck::") || contains(line, "(nbdcheck") ||
         contains(line, "/nbdcheck+") || contains(line, "/nbdcheck-asan+") ||
         contains(line, "/nbdcheck-tsan+") || contains(line, "/nbdcheck-lsan+") ||
         contains(line, "conformance/nbdcheck");
}

// Of the runtime and the C library, which are under the plugin as well as above.
bool is_frame_of_system(std::string_view line) {
  for (const std::string_view part :
       {"libasan.so", "libtsan.so", "libubsan.so", "liblsan.so", "libclang_rt", "libsanitizer",
        "libc.so", "libpthread", "ld-linux", "libstdc++", "vgpreload", "vg_replace", "<null>",
        "start_thread", "clone.S", " in std::", ": std::", " in operator ", ": operator "})
    if (contains(line, part)) return true;
  return false;
}

struct Block {
  std::vector<std::string_view> lines;

  // Whether the innermost function of some stack, but for the C and C++ libraries,
  // is somebody else's.
  [[nodiscard]] bool concerns_others() const {
    bool told = false;
    for (const std::string_view line : lines) {
      if (!is_frame(line)) {
        told = false;
      } else if (!told && !is_frame_of_system(line)) {
        told = true;
        if (!is_frame_of_ours(line)) return true;
      }
    }
    return false;
  }
};

// What follows the first frame of ours in a stack is how we got there.
std::vector<std::string> for_people(const Block& block) {
  std::vector<std::string> lines;
  bool ours = false;
  for (const std::string_view line : block.lines) {
    if (!is_frame(line)) ours = false;
    if (is_frame(line) && is_frame_of_ours(line)) {
      ours = true;
      // By what name a function of ours without one called.
      while (!lines.empty() && is_frame(lines.back()) && contains(lines.back(), "operator()"))
        lines.pop_back();
    }
    if (ours) continue;
    if (trimmed(line).empty() && (lines.empty() || trimmed(lines.back()).empty())) continue;
    if (lines.size() < most_lines) lines.emplace_back(line);
  }
  while (!lines.empty() && trimmed(lines.back()).empty()) lines.pop_back();
  return lines;
}

// "heap-buffer-overflow on address 0x..." -> "heap-buffer-overflow"
std::string kind_in(std::string_view text) {
  for (const std::string_view end : {" on ", " (pid=", ": ", " 0x"})
    if (const auto at = text.find(end); at != text.npos) text = text.substr(0, at);
  return std::string(text);
}

std::string rule_for(const Heading& heading, std::string_view kind) {
  if (heading.tool == "UndefinedBehaviorSanitizer") return "memory.undefined";
  if (heading.tool == "AddressSanitizer") return "memory.address";
  if (contains(kind, "data race")) return "race.data";
  if (contains(kind, "heap-use-after-free")) return "memory.address";
  return "race.locks";
}

bool ends_report(std::string_view line) {
  return line.starts_with("SUMMARY: ") || line.starts_with("==================");
}

std::optional<InstrumentReport> sanitizer_report(const std::vector<std::string_view>& lines) {
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const auto* const heading = std::ranges::find_if(
        headings, [&](const Heading& h) { return contains(lines[i], h.mark); });
    if (heading == headings.end()) continue;
    // "my.c:12:3: runtime error: ..."; Go says "panic: runtime error: ...".
    const auto mark = lines[i].find(heading->mark);
    if (heading->mark.starts_with(':') &&
        (mark == 0 || (std::isdigit(static_cast<unsigned char>(lines[i][mark - 1])) == 0 &&
                       lines[i][mark - 1] != '>')))
      continue;
    Block block;
    std::size_t end = i;
    for (; end < lines.size() && (end == i || !ends_report(lines[end])); ++end)
      block.lines.push_back(lines[end]);
    // UBSan prints no more than a line where it has no stack to show.
    const bool bare = heading->tool == "UndefinedBehaviorSanitizer" &&
                      std::ranges::none_of(block.lines, is_frame);
    if (!bare && !block.concerns_others()) {
      i = end;
      continue;
    }
    InstrumentReport report;
    report.tool = heading->tool;
    const std::string_view rest =
        lines[i].substr(lines[i].find(heading->mark) + heading->mark.size());
    report.what = heading->tool == "UndefinedBehaviorSanitizer" ? std::string(rest) : kind_in(rest);
    report.rule = rule_for(*heading, report.what);
    report.lines = for_people(block);
    return report;
  }
  return std::nullopt;
}

// The basename will do: a path may be printed as it was given or as it is.
std::string_view base_of(std::string_view path) {
  const auto slash = path.rfind('/');
  return slash == path.npos ? path : path.substr(slash + 1);
}

std::optional<InstrumentReport> leak_report(const std::vector<std::string_view>& lines,
                                            std::string_view plugin) {
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const std::string_view line = lines[i];
    const bool lsan = line.starts_with("Direct leak of ");
    const bool memcheck = contains(line, " are definitely lost in loss record ");
    if (!lsan && !memcheck) continue;
    Block block{{line}};
    for (std::size_t j = i + 1;
         j < lines.size() &&
         is_frame(memcheck ? lines[j].substr(std::min(lines[j].size(), lines[j].find("== ") + 3))
                           : lines[j]);
         ++j)
      block.lines.push_back(lines[j]);
    const bool of_plugin = std::ranges::any_of(
        block.lines, [&](std::string_view frame) { return contains(frame, base_of(plugin)); });
    if (lsan && !of_plugin) continue;
    if (memcheck && !block.concerns_others()) continue;
    InstrumentReport report;
    report.tool = lsan ? "LeakSanitizer" : "memcheck";
    report.what = lsan ? "memory that nothing refers to any more" : "memory definitely lost";
    report.rule = "leak.memory";
    report.lines = for_people(block);
    return report;
  }
  return std::nullopt;
}

// Lines of valgrind, without "==123== ".
std::vector<std::string_view> of_valgrind(const std::vector<std::string_view>& lines) {
  std::vector<std::string_view> result;
  for (std::string_view line : lines) {
    if (!line.starts_with("==")) continue;
    const auto end = line.find("== ", 2);
    const bool number =
        end != line.npos && std::ranges::all_of(line.substr(2, end - 2), [](char c) {
          return std::isdigit(static_cast<unsigned char>(c)) != 0;
        });
    if (number) result.push_back(line.substr(end + 3));
  }
  return result;
}

std::optional<InstrumentReport> memcheck_report(const std::vector<std::string_view>& lines) {
  for (std::size_t i = 0; i < lines.size(); ++i) {
    std::string rule;
    for (const std::string_view begin : {"Invalid read", "Invalid write", "Invalid free",
                                         "Mismatched free", "Source and destination overlap"})
      if (lines[i].starts_with(begin)) rule = "memory.address";
    for (const std::string_view begin :
         {"Conditional jump or move depends on uninitialised", "Use of uninitialised value"})
      if (lines[i].starts_with(begin)) rule = "memory.uninitialised";
    if (contains(lines[i], " points to uninitialised byte") ||
        contains(lines[i], " contains uninitialised byte"))
      rule = "memory.uninitialised";
    if (rule.empty()) continue;
    Block block;
    std::size_t end = i;
    for (; end < lines.size() && !trimmed(lines[end]).empty(); ++end)
      block.lines.push_back(lines[end]);
    // Its first stack is where it happened; the others say whose memory it was.
    Block first{{block.lines.front()}};
    for (std::size_t j = 1; j < block.lines.size() && is_frame(block.lines[j]); ++j)
      first.lines.push_back(block.lines[j]);
    if (!first.concerns_others()) {
      i = end;
      continue;
    }
    return InstrumentReport{rule, "memcheck", std::string(lines[i]), for_people(block)};
  }
  return std::nullopt;
}

}  // namespace

std::optional<InstrumentReport> first_report(std::string_view standard_error,
                                             std::string_view plugin) {
  const auto lines = lines_of(standard_error);
  if (auto report = sanitizer_report(lines)) return report;
  const auto valgrind = of_valgrind(lines);
  if (auto report = memcheck_report(valgrind)) return report;
  if (auto report = leak_report(lines, plugin)) return report;
  return leak_report(valgrind, plugin);
}

}  // namespace nbdcheck
