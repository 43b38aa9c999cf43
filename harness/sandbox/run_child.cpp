#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <exception>

#include "nbdcheck/sandbox.hpp"
#include "sandbox/descendants.hpp"
#include "sandbox/describe.hpp"
#include "sandbox/process_table.hpp"
#include "sandbox/spawn.hpp"
#include "sandbox/stacks.hpp"
#include "sandbox/watch.hpp"

namespace nbdcheck {
namespace {

using sandbox::Why;
using Kind = ChildEnd::Kind;

// What the page says, whatever the end was.
void read_page(const StatusPage& page, ChildEnd& end) {
  if (const CallSlot* slot = sandbox::culprit_slot(page); slot != nullptr) {
    end.call = sandbox::describe_call(*slot);
    if (!end.call.empty()) end.callback = static_cast<Callback>(slot->callback.load());
    const std::uint64_t index = slot->plan_index.load();
    if (index != no_plan) end.plan_index = static_cast<std::int64_t>(index);
  }
  for (const CallSlot& slot : page.slots) end.operations += slot.operations.load();
  end.phase = sandbox::phase_of(page);
  end.event_descriptor_closed = page.event_loss.load() != 0;
  end.forked_copy_returned = page.forked_copy.load() != 0;
}

// A jump to where nothing is any more, while this was a plugin's.
bool in_unloaded(const StatusPage& page) {
  if (page.signal != SIGSEGV || page.signal_code != SEGV_MAPERR ||
      page.instruction != page.fault_address)
    return false;
  return std::ranges::any_of(page.unloaded, [&](const StatusPage::Extent& extent) {
    return page.instruction >= extent.begin.load() && page.instruction < extent.end.load();
  });
}

void read_crash(const StatusPage& page, ChildEnd& end) {
  end.signal = page.signal;
  end.signal_code = page.signal_code;
  end.fault_address = page.fault_address;
  end.fault_in_guard = end.fault_address != 0 && end.fault_address >= page.guard_begin.load() &&
                       end.fault_address < page.guard_end.load();
  const std::int32_t thread = page.crash_thread.load();
  end.in_unloaded = in_unloaded(page);
  if (end.in_unloaded && sandbox::slot_of(page, thread) == nullptr) {
    end.call.clear();  // another thread's
    end.callback = Callback::none;
  }
  for (const CallSlot& slot : page.slots) {
    if (thread == 0 || slot.thread_id.load() != thread) continue;
    end.buffer = slot.buffer;
    end.buffer_size = slot.buffer != 0 ? slot.count : 0;
  }
}

std::string signal_name(int signal) {
  const char* name = ::sigabbrev_np(signal);
  return name != nullptr ? fmt::format("SIG{}", name) : fmt::format("signal {}", signal);
}

// " in .pread(...)", " while reading the last byte", or both.
std::string where(const ChildEnd& end) {
  std::string text;
  if (!end.call.empty()) text += " in " + end.call;
  if (!end.phase.empty()) text += fmt::format(" ({})", end.phase);
  return text;
}

std::string crash_message(const ChildEnd& end) {
  if (end.signal == 0) return "ended by a sanitizer" + where(end) + "; see standard error";
  std::string text = "crashed with " + signal_name(end.signal);
  if (end.signal == SIGSEGV || end.signal == SIGBUS) {
    if (end.signal_code > 0) text += fmt::format(" at address {:#x}", end.fault_address);
    if (end.fault_in_guard) text += ", outside of the buffer it was given";
  }
  return text + where(end);
}

// The process ended without asking us first.
void judge_status(const StatusPage& page, const sandbox::WaitStatus& status, ChildEnd& end) {
  const auto said = page.end.load();
  if (status.signalled) {
    end.kind = Kind::crashed;
    if (said == StatusPage::End::crashed) read_crash(page, end);
    if (end.signal == 0) end.signal = status.value;
    end.message = crash_message(end);
    if (status.value == SIGKILL && said != StatusPage::End::crashed) {
      end.message = "killed with SIGKILL, by itself or by the kernel short of memory" + where(end);
    }
    return;
  }
  end.exit_status = status.value;
  if (said == StatusPage::End::finished && status.value == 0) {
    end.kind = Kind::finished;
    end.message = "finished";
    return;
  }
  end.kind = Kind::exited;
  end.message = fmt::format("ended itself with status {}{}", status.value, where(end));
}

void judge_limit(Why why, const ChildSpec& spec, const sandbox::Watch& watch, pid_t pid,
                 ChildEnd& end) {
  const auto seconds = [](auto duration) {
    return std::chrono::duration<double>(duration).count() * time_scale();
  };
  switch (why) {
    case Why::stalled:
      end.kind = Kind::hung;
      end.message = fmt::format("no progress for {:.1f} s{}",
                                std::chrono::duration<double>(watch.idle()).count(), where(end));
      if (sandbox::process_facts(pid).state == 'T') {
        end.message += "; the process has been stopped by a signal";
      }
      break;
    case Why::wall_limit:
      end.kind = Kind::time_limit;
      end.message = fmt::format("not done after {:.1f} s{}", seconds(spec.wall_limit), where(end));
      break;
    case Why::memory_limit:
      end.kind = Kind::memory;
      end.message = fmt::format("uses {} MiB of memory{}", watch.memory() >> 20, where(end));
      break;
    default:
      end.kind = Kind::exited;
      end.message =
          fmt::format("replaced itself by {} (exec){}", sandbox::executable_of(pid), where(end));
  }
}

void add_stacks(const ChildSpec& spec, const StatusPage& page, pid_t pid, ChildEnd& end) {
  if (!spec.take_stacks) return;
  // The page is in reach of the plugin: look at the child or a process it made,
  // and at no other.
  const int at_work = page.process.load();
  const bool is_copy = at_work != pid && sandbox::process_facts(at_work).parent == pid;
  sandbox::Stacks stacks = sandbox::take_stacks(is_copy ? at_work : pid, page);
  end.stacks = std::move(stacks.threads);
  if (!stacks.problem.empty()) end.message += fmt::format(" (no full stacks: {})", stacks.problem);
}

}  // namespace

ChildEnd run_child(const ChildSpec& spec) {
  ChildEnd end;
  auto started = sandbox::spawn(spec);
  if (!started) {
    end.message = started.error();
    return end;
  }
  sandbox::Child& child = *started;
  const StatusPage& page = *child.page;
  sandbox::Descendants descendants(child.pid, child.marker);
  sandbox::Watch watch(spec, child, descendants);

  // A callback of the caller may throw: then the descendants go as well.
  Why why{};
  try {
    why = watch.run();
  } catch (...) {
    ::kill(child.pid, SIGKILL);
    descendants.end_all({});
    child.end();
    descendants.reap();
    throw;
  }

  if (why != Why::over) {
    descendants.observe();  // while the child still holds its family together
    read_page(page, end);
    if (why == Why::crashed) {
      end.kind = Kind::crashed;
      read_crash(page, end);
      end.message = crash_message(end);
    } else if (why == Why::exit_called) {
      end.kind = Kind::exited;
      end.exit_status = page.exit_status;
      end.message = fmt::format("called exit({}){}", end.exit_status, where(end));
    } else if (why == Why::thread_ended) {
      end.kind = Kind::exited;
      end.thread_only = true;
      end.message = "ended a thread of the server" + where(end);
    } else {
      judge_limit(why, spec, watch, child.pid, end);
    }
    // The stack of a thread that is being ended has been unwound.
    const bool has_stacks =
        why != Why::replaced && why != Why::memory_limit && why != Why::thread_ended;
    if (has_stacks) add_stacks(spec, page, child.pid, end);
    ::kill(child.pid, SIGKILL);
  }
  const bool left_by_itself = why == Why::over && page.end.load() == StatusPage::End::finished;
  const auto grace = std::chrono::milliseconds(left_by_itself ? 200 : 0) * time_scale();
  end.leftover_processes =
      descendants.end_all(std::chrono::duration_cast<std::chrono::milliseconds>(grace));
  const sandbox::WaitStatus status = child.end();
  descendants.reap();  // those whose parent the child was until now
  watch.drain();
  if (why == Why::over) {
    read_page(page, end);
    judge_status(page, status, end);
  }
  end.standard_output = watch.take_output();
  end.standard_error = watch.take_errors();
  return end;
}

}  // namespace nbdcheck
