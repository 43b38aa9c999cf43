#include "runner/process_rules.hpp"

#include <fmt/format.h>

#include <array>
#include <csignal>
#include <cstring>

#include "checks/phases.hpp"
#include "rules/catalogue.hpp"

namespace nbdcheck {
namespace {

constexpr std::array<std::string_view, 12> rules = {
    "process.crash",        "process.hang",      "process.exit",          "process.memory",
    "process.descriptors",  "process.leftovers", "process.forked-copy",   "data.buffer-overrun",
    "data.buffer-modified", "data.buffer-kept",  "data.buffer-alignment", "export.interned-kept"};

std::string signal_name(int number) {
  const char* abbreviation = ::sigabbrev_np(number);
  const char* words = ::sigdescr_np(number);
  if (abbreviation == nullptr) return fmt::format("signal {}", number);
  return fmt::format("SIG{} ({})", abbreviation, words == nullptr ? "" : words);
}

std::string where(const ChildEnd& end) {
  if (!end.call.empty()) return "in " + end.call;
  if (!end.phase.empty()) return "while " + end.phase;
  return "outside of any callback";
}

// A wild access into the arena of guarded buffers: told by where it hit.
std::string_view guard_rule(const ChildEnd& end) {
  if (end.buffer == 0) return "data.buffer-kept";
  const std::uint64_t at = end.fault_address;
  if (at >= end.buffer && at < end.buffer + end.buffer_size)
    return end.callback == Callback::pwrite ? "data.buffer-modified" : "data.buffer-kept";
  // The guards on either side are a page wide; what lies further away was the
  // buffer of another request.
  constexpr std::uint64_t page = 4096;
  const std::uint64_t first = end.buffer / page * page;
  const std::uint64_t last = (end.buffer + end.buffer_size + page - 1) / page * page;
  if (at + page >= first && at < last + page) return "data.buffer-overrun";
  return "data.buffer-kept";
}

std::string guard_message(std::string_view rule, const ChildEnd& end) {
  if (rule == "data.buffer-modified")
    return fmt::format("The plugin wrote to the buffer it was given to read from, {}.", where(end));
  if (rule == "data.buffer-overrun")
    return fmt::format(
        "The plugin touched memory {} the buffer of {} bytes it was given, {} (address {:#x}, "
        "buffer at {:#x}).",
        end.fault_address < end.buffer ? "before" : "behind", end.buffer_size, where(end),
        end.fault_address, end.buffer);
  return fmt::format(
      "The plugin touched the buffer of a request that had already been answered, {}.", where(end));
}

void add_stacks(Finding& finding, const ChildEnd& end, bool all_threads) {
  for (const ThreadStack& stack : end.stacks) {
    if (!all_threads && !stack.culprit) continue;
    finding.details.push_back(fmt::format("thread {}{}{}", stack.thread_id,
                                          stack.doing.empty() ? "" : " in " + stack.doing,
                                          stack.culprit ? ":" : " (waiting):"));
    std::size_t number = 0;
    for (const StackFrame& frame : stack.frames) {
      if (number == 24) break;
      finding.details.push_back(
          fmt::format("  #{:<2} {}{}{}", number++,
                      frame.function.empty() ? fmt::format("{:#x}", frame.address) : frame.function,
                      frame.source.empty() ? "" : " at " + frame.source,
                      frame.module.empty() ? "" : fmt::format(" ({})", frame.module)));
    }
  }
}

void add_output(Finding& finding, const ChildEnd& end) {
  const std::string_view text = end.standard_error;
  if (text.empty()) return;
  finding.details.emplace_back("standard error, its last lines:");
  std::size_t begin = text.size();
  for (int lines = 0; lines < 6 && begin != 0 && begin != std::string_view::npos; ++lines)
    begin = begin < 2 ? 0
            : text.rfind('\n', begin - 2) == std::string_view::npos
                ? 0
                : text.rfind('\n', begin - 2) + 1;
  std::string_view rest = text.substr(begin);
  while (!rest.empty()) {
    const auto cut = rest.find('\n');
    finding.details.push_back("  " + std::string(rest.substr(0, cut)));
    rest = cut == std::string_view::npos ? "" : rest.substr(cut + 1);
  }
}

Finding make(std::string_view id, const std::string& check, std::string message) {
  Finding finding;
  finding.rule = id;
  finding.check = check;
  if (const Rule* rule = find_rule(id)) {
    finding.severity = rule->severity;
    finding.title = rule->title;
  }
  finding.message = std::move(message);
  return finding;
}

// An end whose cause is known from when it came.
std::string_view rule_by_phase(const ChildEnd& end, std::string_view usual) {
  // What dies when it stops does so with descriptors, too.
  const bool stopping = end.callback == Callback::cleanup || end.callback == Callback::unload;
  if (end.phase == phase_no_descriptor && !stopping) return "error.exhaustion";
  if (end.phase == phase_after_error && end.kind == ChildEnd::Kind::hung) return "error.lock-held";
  return usual;
}

Finding crash(const ChildEnd& end, const std::string& check) {
  Finding finding;
  const bool memory_signal = end.signal == SIGSEGV || end.signal == SIGBUS;
  if (memory_signal && end.fault_in_guard && check == "export.strings") {
    // That check has no other guarded memory.
    finding = make("export.interned-kept", check,
                   fmt::format("The plugin read a string that was interned for a connection which "
                               "has ended, {}.",
                               where(end)));
  } else if (memory_signal && end.fault_in_guard) {
    const std::string_view rule = guard_rule(end);
    finding = make(rule, check, guard_message(rule, end));
  } else if (check == "data.odd-buffers" && memory_signal &&
             (end.callback == Callback::pread || end.callback == Callback::pwrite)) {
    finding = make("data.buffer-alignment", check,
                   fmt::format("The plugin was killed by {} {}, in the check that gives it buffers "
                               "at odd addresses.",
                               signal_name(end.signal), where(end)));
  } else {
    finding =
        make(rule_by_phase(end, "process.crash"), check,
             fmt::format("The plugin was killed by {} {}.", signal_name(end.signal), where(end)));
    finding.expected = "the callback returns; errors are reported by nbdkit_error and -1";
  }
  finding.actual =
      memory_signal ? fmt::format("{} at address {:#x}", signal_name(end.signal), end.fault_address)
                    : signal_name(end.signal);
  add_stacks(finding, end, false);
  add_output(finding, end);
  return finding;
}

Finding thread_exit(const ChildEnd& end, const std::string& check) {
  Finding finding = make("process.exit", check,
                         fmt::format("The plugin ended a thread of nbdkit's {} (pthread_exit or "
                                     "pthread_cancel): its client waits for ever, and the locks "
                                     "that nbdkit held remain locked.",
                                     where(end)));
  finding.expected = "the callback returns";
  finding.actual = "the thread ended";
  return finding;
}

}  // namespace

std::span<const std::string_view> runner_rules() { return rules; }

bool trap_was_blocked(const ChildEnd& end, const std::string& check) {
  return end.kind == ChildEnd::Kind::crashed && end.signal == SIGTRAP &&
         check.starts_with("concurrency.");
}

std::optional<Finding> finding_from_end(const ChildEnd& end, const std::string& check) {
  if (trap_was_blocked(end, check)) return std::nullopt;
  switch (end.kind) {
    case ChildEnd::Kind::crashed:
      return crash(end, check);
    case ChildEnd::Kind::exited: {
      if (end.thread_only) return thread_exit(end, check);
      Finding finding =
          make(rule_by_phase(end, "process.exit"), check,
               fmt::format("The process ended {} with status {}: the server is gone, with every "
                           "connection.",
                           where(end), end.exit_status));
      finding.expected =
          "errors are reported by nbdkit_error and -1 or NULL; only nbdkit ends the "
          "process";
      finding.actual = fmt::format("exit({})", end.exit_status);
      add_stacks(finding, end, false);
      add_output(finding, end);
      return finding;
    }
    case ChildEnd::Kind::hung: {
      Finding finding = make(rule_by_phase(end, "process.hang"), check,
                             fmt::format("Nothing moved any more {}. {}", where(end), end.message));
      finding.expected = "the callback returns in bounded time";
      finding.actual = "no progress until the limit (--timeout)";
      add_stacks(finding, end, true);
      return finding;
    }
    case ChildEnd::Kind::memory: {
      Finding finding = make(
          "process.memory", check,
          fmt::format("The plugin's memory grew beyond the limit {}. {}", where(end), end.message));
      add_stacks(finding, end, false);
      return finding;
    }
    case ChildEnd::Kind::finished:
      if (end.forked_copy_returned)
        return make("process.forked-copy", check,
                    "A callback forked and returned in the child process too: two servers now "
                    "answer the same clients.");
      if (end.event_descriptor_closed)
        return make("process.descriptors", check,
                    "The plugin closed or replaced file descriptors that are not its own.");
      if (end.leftover_processes > 0)
        return make("process.leftovers", check,
                    fmt::format("{} process{} started by the plugin still ran after .unload.",
                                end.leftover_processes, end.leftover_processes == 1 ? "" : "es"));
      return std::nullopt;
    case ChildEnd::Kind::time_limit:
    case ChildEnd::Kind::not_started:
      return std::nullopt;
  }
  return std::nullopt;
}

bool same_fault(const ChildEnd& a, const ChildEnd& b) {
  return a.kind == b.kind && a.thread_only == b.thread_only && a.callback == b.callback &&
         a.signal == b.signal;
}

}  // namespace nbdcheck
