#include "report/nbdsh.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "report/nbdsh_parts.hpp"
#include "text/printable.hpp"
#include "text/shell.hpp"

namespace nbdcheck {
namespace {

constexpr std::size_t longest_sequence = 5000;

// How a rule is shown.
struct Way {
  std::string_view rule;
  std::string_view function;      // of nbdsh/checks.py or disk.py
  std::string_view options = "";  // of nbdkit
};
// Rules for which running the operations and judging contents, maps and the
// life of the server is not enough.
constexpr std::array ways{
    Way{"data.stable-contents", "operations_and_reads_again"},
    Way{"flush.harmless", "operations"},
    Way{"data.buffer-filled", "unfilled_buffer", "-t 1"},
    Way{"data.last-byte", "last_byte"},
    Way{"data.no-needless-error", "halves"},
    Way{"data.readable", "unreadable"},
    Way{"capability.fua-needs-flush", "offered"},
    Way{"capability.callback-present", "offered"},
    Way{"capability.fua-value", "offered"},
    Way{"capability.cache-value", "offered"},
    Way{"capability.stable", "same_answers"},
    Way{"capability.subsets", "reads", "-r"},
    Way{"size.value", "opens"},
    Way{"blocksize.valid", "opens"},
    Way{"blocksize.unaligned", "unaligned"},
    Way{"handle.independent", "independent"},
    Way{"handle.open-close", "opens"},
    Way{"handle.concurrent-open", "opens"},
    Way{"handle.reopens", "opens"},
    Way{"extents.stable", "same_map"},
    Way{"extents.no-error", "whole_map"},
    Way{"extents.first-at-offset", "whole_map"},
    Way{"extents.contiguous", "whole_map"},
    Way{"extents.no-wrap", "whole_map"},
    Way{"extents.no-lie", "whole_map"},
    Way{"zero.no-hole", "no_hole"},
    Way{"zero.decline-errno", "zero_fails"},
    Way{"zero.fast-errno", "fast_zero_errno"},
    Way{"trim.errno", "trim_fails"},
    Way{"trim.contents", "trimmed_contents"},
};

// Rules of groups that a client can see, which it cannot see all the same.
struct Hidden {
  std::string_view rules;  // a prefix
  std::string_view why;
};
constexpr std::array hidden{
    Hidden{"data.buffer-", "nbdkit does not watch the memory around and in the buffers it gives"},
    Hidden{"data.return-value", "nbdkit takes every value but -1 for success"},
    Hidden{"data.partial-io", "it needs system calls that fail, which nbdcheck sees to"},
    Hidden{"capability.bool-value", "nbdkit takes every value but 0 and -1 for yes"},
    Hidden{"capability.zero-present", "nbdkit writes zeroes where there is no .zero"},
    Hidden{"capability.readonly", "what counts is what happens to the files behind"},
    Hidden{"extents.own-list", "the foreign list is not sent to the client"},
    Hidden{"extents.cost", "the client sees the beginning of a map that is too long"},
    Hidden{"extents.type", "nbdkit sends two bits of the type"},
    Hidden{"flush.", "what is on stable storage is seen in system calls, or after a kill"},
    Hidden{"fua.", "what is on stable storage is seen in system calls, or after a kill"},
    Hidden{"size.shrunk", "it needs storage that shrinks, which nbdcheck sees to"},
    Hidden{"error.", "errors are told by the log and the harness, not by the protocol"},
    Hidden{"handle.threads", "it needs calls on other threads than nbdkit's"},
    Hidden{"config.", "it is about configuration: there is no client yet"},
    Hidden{"abi.", "it is about the plugin's file and its registration"},
    Hidden{"lifecycle.", "it is about the life of the server, before and after its clients"},
    Hidden{"export.", "it is about names and strings, not about one disk"},
    Hidden{"concurrency.", "it takes threads that meet at the right instruction"},
    Hidden{"process.", "it is about what the process holds and leaves, not about what clients see"},
    Hidden{"hang.", "it is about time"},
};

// Whatever ends the server ends the real one.
bool kills(std::string_view rule) {
  return rule == "process.crash" || rule == "process.exit" || rule == "process.hang" ||
         rule == "differential.nbdkit-survives";
}

// Found by doing what no client does: other arguments, another life cycle, calls
// that fail.
bool takes_more_than_clients(std::string_view check) {
  constexpr std::array groups{"abi.",       "concurrency.", "config.", "differential.",
                              "error.",     "export.",      "flush.",  "hang.",
                              "lifecycle.", "process.",     "size."};
  return std::any_of(groups.begin(), groups.end(),
                     [&](const char* group) { return check.starts_with(group); });
}

constexpr Way to_its_end{"", "everything"};
constexpr Way as_it_is{"", "operations"};

// nullptr: none that is the rule's own.
const Way* own_way(std::string_view rule) {
  const auto* const found =
      std::find_if(ways.begin(), ways.end(), [&](const Way& way) { return way.rule == rule; });
  return found == ways.end() ? nullptr : found;
}

Way way_of(const Finding& finding, const Plan& plan) {
  if (const Way* const own = own_way(finding.rule)) {
    // Wrong data are shown best by the very requests.
    if (own->function != "independent" || plan.operations.empty()) return *own;
  }
  return kills(finding.rule) ? to_its_end : as_it_is;
}

// A Python literal of a string that may hold any bytes.
std::string literal(const std::string& text) {
  const bool plain = valid_utf8(text) == text;
  std::string out = plain ? "\"" : "os.fsdecode(b\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\')
      out += fmt::format("\\{}", c);
    else if (byte < 0x20 || byte == 0x7f || (!plain && byte >= 0x80))
      out += fmt::format("\\x{:02x}", byte);
    else
      out += c;
  }
  return out + (plain ? "\"" : "\")");
}

// Inside of the script's docstring.
std::string quoted_lines(const std::string& text) {
  std::string out;
  for (const std::string& line : printable_lines(text)) {
    for (const std::string& part : wrap(line, 90)) {
      std::string safe = part;
      std::replace(safe.begin(), safe.end(), '\\', '/');
      std::replace(safe.begin(), safe.end(), '"', '\'');
      out += safe + "\n";
    }
  }
  return out;
}

std::string flags_text(std::uint32_t flags) {
  std::string out;
  const auto add = [&](std::string_view word) {
    out += fmt::format("{}{}", out.empty() ? "" : " | ", word);
  };
  constexpr std::array<std::pair<std::uint32_t, std::string_view>, 5> names{
      {{command_flag::fua, "FUA"},
       {command_flag::no_hole, "NO_HOLE"},
       {command_flag::df, "DF"},
       {command_flag::req_one, "REQ_ONE"},
       {command_flag::fast_zero, "FAST_ZERO"}}};
  for (const auto& [bit, word] : names) {
    if ((flags & bit) == 0) continue;
    add(word);
    flags &= ~bit;
  }
  if (flags != 0) add(fmt::format("{:#x}", flags));
  return out;
}

std::string call(const Operation& op) {
  const unsigned connection = op.connection;
  const std::string flags = op.flags == 0 ? "" : ", flags=" + flags_text(op.flags);
  switch (op.kind) {
    case OpKind::open:
    case OpKind::close:
    case OpKind::flush:
      return fmt::format("disk.{}({})", name(op.kind), connection);
    case OpKind::write: {
      const std::string_view fill = op.payload == Payload::zeroes ? ", fill=0x00"
                                    : op.payload == Payload::ones ? ", fill=0xff"
                                                                  : "";
      return fmt::format("disk.write({}, {}, {}, tag={}{}{})", connection, op.offset, op.count,
                         op.tag, flags, fill);
    }
    case OpKind::read:
    case OpKind::trim:
    case OpKind::zero:
    case OpKind::cache:
    case OpKind::extents:
      break;
  }
  return fmt::format("disk.{}({}, {}, {}{})", name(op.kind), connection, op.offset, op.count,
                     flags);
}

std::string options_list(const Plan& plan, std::string_view extra) {
  std::string out = plan.readonly ? "\"-r\"" : "";
  while (!extra.empty()) {
    const auto end = extra.find(' ');
    out += fmt::format("{}\"{}\"", out.empty() ? "" : ", ", extra.substr(0, end));
    extra = end == std::string_view::npos ? "" : extra.substr(end + 1);
  }
  return out;
}

// nbdkit would look for "plugin.so" everywhere but in the current directory.
std::string plugin_of(const Plan& plan) {
  const bool file_here =
      plan.plugin.find('/') == std::string::npos && plan.plugin.find('.') != std::string::npos;
  return file_here ? "./" + plan.plugin : plan.plugin;
}

std::string command_line(const Plan& plan, std::string_view extra) {
  std::string line = "nbdkit -f -U SOCKET";
  if (plan.readonly) line += " -r";
  if (!extra.empty()) line += fmt::format(" {}", extra);
  line += " " + shell_quote(plugin_of(plan));
  for (const std::string& argument : plan.arguments) line += " " + shell_quote(argument);
  return line;
}

}  // namespace

std::string why_not_over_nbd(const Finding& finding, const Plan& plan) {
  const std::string& rule = finding.rule;
  if (concurrent(plan.operations)) return "its requests run at once";
  if (plan.operations.size() > longest_sequence)
    return fmt::format("the sequence of {} operations is too long for a script",
                       plan.operations.size());
  if (kills(rule))
    return plan.operations.empty() && takes_more_than_clients(finding.check)
               ? fmt::format("it takes more than clients ({})", finding.check)
               : "";
  if (own_way(rule) != nullptr) return "";
  for (const Hidden& group : hidden)
    if (rule.starts_with(group.rules)) return std::string(group.why);
  return plan.operations.empty() ? "it needs more than a sequence of requests" : "";
}

std::string nbdsh_script(const Finding& finding, const Plan& plan, const NbdshContext& context) {
  const Way way = way_of(finding, plan);
  const std::string_view extra = way.options;
  const auto yes = [](bool value) { return value ? "True" : "False"; };

  std::string script = "#!/usr/bin/python3\n";
  script += fmt::format("\"\"\"{}: {}\n\n{}", finding.rule, printable(finding.title),
                        quoted_lines(finding.message));
  if (!finding.expected.empty())
    script += "\n" + quoted_lines("expected: " + finding.expected) +
              quoted_lines("actual: " + finding.actual);
  script += "\nThe server that is started (disk images of yours are copied first):\n\n";
  script += "    " + quoted_lines(command_line(plan, extra));
  script += R"(
Exit status: 1 when the bug shows, 0 when it does not, 2 when this cannot run.
Needs nbdkit and python3-libnbd only.  NBDKIT=PATH chooses another nbdkit.
)";
  script += fmt::format("Written by nbdcheck {}.\n\"\"\"\n\nimport os\n\n", NBDCHECK_VERSION);
  script +=
      fmt::format("DIRECTORY = {}  # where names of files begin\n", literal(context.directory));
  script += fmt::format("OPTIONS = [{}]\n", options_list(plan, extra));
  script += fmt::format("PLUGIN = {}\n", literal(plugin_of(plan)));
  script += "ARGUMENTS = [\n";
  for (const NbdshArgument& argument : context.arguments) {
    if (argument.file.empty())
      script += fmt::format("    {},\n", literal(argument.text));
    else
      script += fmt::format("    ({}, {}),  # of this file, a copy\n", literal(argument.text),
                            literal(argument.file));
  }
  script += "]\n";
  script += fmt::format("EXPORT = {}\n", literal(plan.export_name));
  script += fmt::format("SHARED = {}   # connections see one disk\n", yes(context.shared));
  script += fmt::format("STABLE = {}   # it does not change by itself\n", yes(context.stable));
  script += fmt::format("SEVERAL = {}  # connections at once\n\n\n", yes(context.several));
  script += "def OPERATIONS(disk):\n";
  for (const Operation& op : plan.operations) script += "    " + call(op) + "\n";
  if (plan.operations.empty()) script += "    del disk  # no fixed sequence\n";
  script += fmt::format("\n\ndef CHECK(disk):\n    {}(disk)\n\n\n", way.function);
  script += nbdsh_server;
  script += "\n\n";
  script += nbdsh_disk;
  script += "\n\n";
  if (way.function != as_it_is.function) script += fmt::format("{}\n\n", nbdsh_checks);
  script += nbdsh_main;
  return script;
}

}  // namespace nbdcheck
