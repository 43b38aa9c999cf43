#include "runner/process_rules.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstring>

#include "checks/check.hpp"
#include "checks/phases.hpp"
#include "execute/guard_fault.hpp"
#include "instruments/reports.hpp"
#include "rules/catalogue.hpp"

namespace nbdcheck {
namespace {

constexpr std::array<std::string_view, 18> rules = {
    "process.crash",        "process.hang",      "process.exit",          "process.memory",
    "process.descriptors",  "process.leftovers", "process.forked-copy",   "data.buffer-overrun",
    "data.buffer-modified", "data.buffer-kept",  "data.buffer-alignment", "export.interned-kept",
    "memory.address",       "memory.undefined",  "memory.uninitialised",  "race.data",
    "race.locks",           "leak.memory"};

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

GuardFault fault_of(const ChildEnd& end) {
  return {end.fault_address, end.buffer, end.buffer_size, end.callback};
}

void add_stacks(Finding& finding, const ChildEnd& end, bool all_threads) {
  for (const ThreadStack& stack : end.stacks) {
    if (!all_threads && !stack.culprit) continue;
    finding.details.push_back(fmt::format("thread {}{}{}", stack.thread_id,
                                          stack.doing.empty() ? "" : " in " + stack.doing,
                                          stack.culprit ? ":" : " (waiting):"));
    if (!stack.waits_for.empty()) finding.details.push_back("  waits for " + stack.waits_for);
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

// ". A deadlock: threads 12, 13 wait for each other's mutexes"; "": none do.
std::string lock_cycle(const ChildEnd& end) {
  std::vector<int> threads;
  for (const ThreadStack& stack : end.stacks)
    if (stack.in_lock_cycle) threads.push_back(stack.thread_id);
  if (threads.empty()) return "";
  if (threads.size() == 1)
    return fmt::format(". Thread {} waits for a mutex that it has itself", threads.front());
  return fmt::format(". A deadlock: threads {} wait for each other's mutexes",
                     fmt::join(threads, ", "));
}

// What a language's runtime says before it ends the process; many lines, of which
// the last ones tell little, may follow.
std::string_view last_words_of_runtime(std::string_view text) {
  constexpr std::array<std::string_view, 5> beginnings{
      "panic: ",                                           // Go
      "fatal error: ",                                     // Go
      "Fatal error: ",                                     // OCaml
      "Fatal Python error: ",                              // Python
      "terminate called after throwing an instance of "};  // C++
  while (!text.empty()) {
    const auto end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    const bool rust = line.starts_with("thread '") && line.find(" panicked at ") != line.npos;
    if (rust || std::ranges::any_of(beginnings, [&](auto b) { return line.starts_with(b); }))
      return line;
    text = end == std::string_view::npos ? "" : text.substr(end + 1);
  }
  return {};
}

void add_output(Finding& finding, const ChildEnd& end) {
  const std::string_view text = end.standard_error;
  if (text.empty()) return;
  if (const auto words = last_words_of_runtime(text); !words.empty())
    finding.details.push_back("standard error: " + std::string(words));
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

bool gives_odd_buffers(const std::string& check) {
  const Check* known = find_check(check);
  return known != nullptr && known->buffers == BufferMode::guarded_odd;
}

// What a processor that wants aligned addresses does about others; nothing but that
// and addresses that cannot exist end so.  x86 does not tell the address.
bool by_alignment(const ChildEnd& end) {
  return (end.signal == SIGSEGV && end.signal_code == SI_KERNEL) ||
         (end.signal == SIGBUS && end.signal_code == BUS_ADRALN);
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
    const std::string_view rule = guard_rule(fault_of(end));
    finding = make(rule, check, guard_message(rule, fault_of(end), where(end)));
  } else if (gives_odd_buffers(check) && by_alignment(end) &&
             (end.callback == Callback::pread || end.callback == Callback::pwrite)) {
    finding = make("data.buffer-alignment", check,
                   fmt::format("The plugin was killed by {} {}, in the check that gives it buffers "
                               "at odd addresses.",
                               signal_name(end.signal), where(end)));
  } else if (memory_signal && end.callback == Callback::none &&
             (end.in_unloaded || end.phase == phase_unloaded)) {
    finding =
        make("process.threads", check,
             "A thread of the plugin went on after .unload, in code that is no longer there.");
    finding.expected = "threads are stopped and joined in .cleanup or .unload";
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

// What an instrument saw says more than how the process ended for it.
Finding instrument_finding(const InstrumentReport& report, const ChildEnd& end,
                           const std::string& check) {
  const bool leak = report.rule == "leak.memory";
  // Who goes on afterwards is somewhere else by now; the stack tells where it was.
  const std::string place = end.kind == ChildEnd::Kind::finished ? "" : ", " + where(end);
  Finding finding =
      make(report.rule, check,
           leak ? fmt::format("{} found {} when the plugin was unloaded.", report.tool, report.what)
                : fmt::format("{} reports: {}{}.", report.tool, report.what, place));
  finding.expected =
      leak ? "what was allocated is freed, or kept in a variable" : "no report of an instrument";
  finding.actual = report.what;
  finding.details = report.lines;
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

bool seen_in_nbdkit(std::string_view rule, std::string_view check) {
  if (rule == "differential.nbdkit-survives") return true;
  const Check* known = find_check(check);
  return known != nullptr && known->beside_nbdkit && known->at_once;
}

bool trap_was_blocked(const ChildEnd& end, const std::string& check) {
  const Check* known = find_check(check);
  return end.kind == ChildEnd::Kind::crashed && end.signal == SIGTRAP && known != nullptr &&
         known->at_once;
}

bool gave_up_without_memory(const ChildEnd& end) {
  const bool by_itself = end.kind == ChildEnd::Kind::exited ||
                         (end.kind == ChildEnd::Kind::crashed && end.signal == SIGABRT);
  return by_itself && end.phase == phase_no_memory;
}

bool stood_still_by_itself(const ChildEnd& end) {
  if (end.kind != ChildEnd::Kind::hung || end.callback != Callback::none) return false;
  constexpr std::string_view program = "nbdcheck";
  constexpr std::array<std::string_view, 6> below{program,    "libc.so",     "libstdc++.so",
                                                  "ld-linux", "libgcc_s.so", "libm.so"};
  const auto is_ours = [&](const ThreadStack& stack) {
    return std::ranges::any_of(
        stack.frames, [&](const StackFrame& frame) { return frame.module.starts_with(program); });
  };
  const auto is_below = [&](const StackFrame& frame) {
    return std::ranges::any_of(below, [&](auto name) { return frame.module.starts_with(name); });
  };
  // Where that of our first thread is whole, those of the others can be relied on.
  const auto is_whole = [](const ThreadStack& stack) {
    return std::ranges::any_of(stack.frames, [](const auto& f) { return f.function == "main"; });
  };
  if (std::ranges::none_of(end.stacks, is_whole)) return false;
  return std::ranges::all_of(end.stacks, [&](const ThreadStack& stack) {
    return !is_ours(stack) || std::ranges::all_of(stack.frames, is_below);
  });
}

std::optional<Finding> finding_from_end(const ChildEnd& end, const std::string& check,
                                        std::string_view plugin) {
  if (trap_was_blocked(end, check)) return std::nullopt;
  if (const auto report = first_report(end.standard_error, plugin))
    return instrument_finding(*report, end, check);
  if (gave_up_without_memory(end) || stood_still_by_itself(end)) return std::nullopt;
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
      finding.message += lock_cycle(end) + ".";
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
