// Writing the text form of a plan; docs/formats.md describes it.
#include <fmt/format.h>

#include <iterator>

#include "plan/names.hpp"
#include "plan/plan.hpp"
#include "text/printable.hpp"

namespace nbdcheck {
namespace {

using Out = std::back_insert_iterator<std::string>;

void header(Out out, std::string_view key, std::string_view value) {
  const std::string escaped = escape(value);
  fmt::format_to(out, "{}{}{}\n", key, escaped.empty() ? "" : " ", escaped);
}

// Only what the parser takes: a plan that was written can be run.
void operation(Out out, const Operation& op) {
  fmt::format_to(out, "#{} {}", op.connection, name(op.kind));
  if (has_range(op.kind)) fmt::format_to(out, " offset={} count={}", op.offset, op.count);
  if (op.tag != 0 && modifies(op.kind)) fmt::format_to(out, " tag={}", op.tag);
  if (op.flags != 0) {
    std::string_view separator = " flags=";
    std::uint32_t rest = op.flags;
    for (const plan_words::FlagName& flag : plan_words::flags) {
      if ((rest & flag.bit) == 0) continue;
      fmt::format_to(out, "{}{}", separator, flag.name);
      rest &= ~flag.bit;
      separator = ",";
    }
    if (rest != 0) fmt::format_to(out, "{}{:#x}", separator, rest);
  }
  if (op.payload != Payload::tags && op.kind == OpKind::write) {
    fmt::format_to(out, " payload={}",
                   plan_words::payloads.at(static_cast<std::size_t>(op.payload)));
  }
  if (op.thread != 0) fmt::format_to(out, " thread={}", op.thread);
  if (op.round != 0) fmt::format_to(out, " round={}", op.round);
  fmt::format_to(out, "\n");
}

}  // namespace

std::string to_text(const Plan& plan) {
  std::string text;
  const Out out(text);
  fmt::format_to(out, "{} {}\n", plan_words::first_line,
                 concurrent(plan.operations) || !plan.schedule.empty() ? Plan::concurrent_version
                                                                       : Plan::version);
  header(out, "plugin", plan.plugin);
  for (const std::string& argument : plan.arguments) header(out, "arg", argument);
  if (!plan.sha256.empty()) header(out, "sha256", plan.sha256);
  header(out, "check", plan.check);
  if (!plan.rule.empty()) header(out, "rule", plan.rule);
  header(out, "export", plan.export_name);
  header(out, "readonly", plan.readonly ? "yes" : "no");
  header(out, "seed", std::to_string(plan.seed));
  header(out, "buffers", plan_words::buffers.at(static_cast<std::size_t>(plan.buffers)));
  if (!plan.schedule.empty()) header(out, "schedule", plan.schedule);
  header(out, "operations", std::to_string(plan.operations.size()));
  for (const Operation& op : plan.operations) operation(out, op);
  fmt::format_to(out, "{}\n", plan_words::last_line);
  return text;
}

}  // namespace nbdcheck
