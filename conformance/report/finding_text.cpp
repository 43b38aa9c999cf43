#include <fmt/format.h>

#include <iterator>

#include "report/tables.hpp"
#include "text/printable.hpp"

namespace nbdcheck {
namespace {

// A sequence that could not be made short is shown by its two ends.
constexpr std::size_t shown_at_start = 12;
constexpr std::size_t shown_at_end = 24;

using Out = std::back_insert_iterator<std::string>;

void paragraph(Out out, std::string_view text, std::size_t indent, int width) {
  const std::size_t columns = static_cast<std::size_t>(std::max(width, 40)) - indent;
  for (const std::string& line : printable_lines(text)) {
    for (const std::string& part : wrap(line, columns)) {
      fmt::format_to(out, "{:{}}{}\n", "", indent, part);
    }
  }
}

void calls(Out out, const Finding& finding) {
  const auto& operations = finding.plan->operations;
  const std::size_t count = operations.size();
  fmt::format_to(out, "\n  {} {}", with_commas(count), count == 1 ? "call" : "calls");
  if (finding.original_operations > count) {
    fmt::format_to(out, ", shrunk from {}", with_commas(finding.original_operations));
  }
  fmt::format_to(out, "\n");
  const std::size_t digits = std::to_string(count).size();
  const bool all = count <= shown_at_start + shown_at_end + 1;
  for (std::size_t i = 0; i < count; ++i) {
    if (!all && i == shown_at_start) {
      const std::size_t left_out = count - shown_at_start - shown_at_end;
      fmt::format_to(out, "    {:>{}}  ({} calls not shown)\n", "...", digits,
                     with_commas(left_out));
      i += left_out;
    }
    fmt::format_to(out, "    {:>{}}  {}\n", i + 1, digits, describe(operations[i]));
  }
}

// "expected  ..." with further lines below the first.
void evidence(Out out, std::string_view label, std::string_view text) {
  for (const std::string& line : printable_lines(text)) {
    fmt::format_to(out, "  {:<9} {}\n", label, line);
    label = "";
  }
}

}  // namespace

std::string finding_text(const Finding& finding, const Paint& paint, int width) {
  std::string text;
  const Out out(text);
  fmt::format_to(out, "{} {}: {}\n", paint.severity(finding.severity, name(finding.severity)),
                 paint.bold(printable(finding.rule)), printable(finding.title));
  if (finding.waived) {
    const std::string until =
        finding.waived->until.empty() ? "" : " until " + printable(finding.waived->until);
    paragraph(out, fmt::format("waived{}: {}", until, finding.waived->reason), 2, width);
  }
  paragraph(out, finding.message, 2, width);
  if (finding.plan && !finding.plan->operations.empty()) calls(out, finding);
  if (!finding.expected.empty() || !finding.actual.empty()) {
    fmt::format_to(out, "\n");
    evidence(out, "expected", finding.expected);
    evidence(out, "actual", finding.actual);
  }
  if (!finding.details.empty()) {
    fmt::format_to(out, "\n");
    for (const std::string& detail : finding.details) {
      if (detail.empty()) fmt::format_to(out, "\n");
      for (const std::string& line : printable_lines(detail)) fmt::format_to(out, "  {}\n", line);
    }
  }
  fmt::format_to(out, "\n  seen by   {}", printable(finding.check));
  if (finding.occurrences > 1) {
    fmt::format_to(out, " (the same rule {} times in this run)", finding.occurrences);
  }
  fmt::format_to(out, "\n  explain   nbdcheck explain {}\n", printable(finding.rule));
  if (!finding.replay_command.empty()) {
    fmt::format_to(out, "  replay    {}\n", printable(finding.replay_command));
  }
  if (!finding.nbdsh_path.empty()) {
    fmt::format_to(out, "  script    {}\n", printable(finding.nbdsh_path));
  }
  if (!finding.on_nbdkit.empty()) evidence(out, "nbdkit", finding.on_nbdkit);
  return text;
}

}  // namespace nbdcheck
