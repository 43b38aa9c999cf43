#include <fmt/format.h>

#include <array>
#include <iterator>

#include "report/tables.hpp"
#include "text/printable.hpp"

namespace nbdcheck {
namespace {

// "1 GiB" where that is exact, else nothing.
std::string round_size(std::uint64_t bytes) {
  constexpr std::array<std::string_view, 6> units{"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  std::string text;
  for (const std::string_view unit : units) {
    if (bytes < 1024 || bytes % 1024 != 0) break;
    bytes /= 1024;
    text = fmt::format(" ({} {})", bytes, unit);
  }
  return text;
}

std::string storage(const Subject& subject) {
  switch (subject.persistence) {
    case Persistence::shared:
      return "one disk for all connections";
    case Persistence::per_connection:
      return "a disk of its own for every connection";
    case Persistence::unknown:
      break;
  }
  return subject.info.can_write ? "persistence unknown" : "";
}

}  // namespace

std::string subject_text(const RunSummary& so_far, const Subject& subject, int width) {
  std::string command = printable(so_far.plugin_as_given);
  for (const std::string& argument : so_far.arguments_as_given)
    command += " " + printable(argument);
  const auto columns = static_cast<std::size_t>(std::max(width, 40));
  if (display_width(command) > columns) command = std::string(fit(command, columns - 3)) + "...";

  std::string text = command + "\n";
  std::string facts = printable(subject.plugin.name);
  if (!subject.plugin.version.empty()) facts += " " + printable(subject.plugin.version);
  facts +=
      fmt::format(", API {}, {}; {} bytes{}, {}", subject.plugin.api_version,
                  name(subject.thread_model), with_commas(subject.info.size),
                  round_size(subject.info.size), subject.info.can_write ? "writable" : "read-only");
  if (const std::string where = storage(subject); !where.empty()) facts += "; " + where;
  if (!subject.stable_contents) facts += "; contents not stable";
  for (const std::string& line : wrap(facts, columns - 2)) text += "  " + line + "\n";
  for (const std::string& remark : subject.remarks) {
    for (const std::string& line : wrap(printable(remark), columns - 2)) text += "  " + line + "\n";
  }
  return text + "\n";
}

}  // namespace nbdcheck
