#include "step/trap.hpp"

#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <ctime>

#include "step/random_traps.hpp"

namespace nbdcheck::step {
namespace {

constinit Current the_current;
struct sigaction previous;
std::vector<std::uint64_t> unreturning;

#if defined(__x86_64__)

constexpr std::uint64_t trap_flag = 0x100;

std::uint64_t program_counter(const ucontext_t& context) {
  return static_cast<std::uint64_t>(context.uc_mcontext.gregs[REG_RIP]);
}
void set_program_counter(ucontext_t& context, std::uint64_t address) {
  context.uc_mcontext.gregs[REG_RIP] = static_cast<greg_t>(address);
}
std::uint64_t stack_pointer(const ucontext_t& context) {
  return static_cast<std::uint64_t>(context.uc_mcontext.gregs[REG_RSP]);
}
void set_stepping(ucontext_t& context, bool on) {
  auto& flags = context.uc_mcontext.gregs[REG_EFL];
  flags = on ? flags | static_cast<greg_t>(trap_flag) : flags & ~static_cast<greg_t>(trap_flag);
}

constexpr int sampled = 6;  // TRAP_PERF, which the C library does not name yet

bool is_ours(const siginfo_t& info) {
  return info.si_code == SI_KERNEL || info.si_code == TRAP_TRACE || info.si_code == TRAP_BRKPT;
}

void on_signal(int signal, siginfo_t* info, void* argument) {
  const int error = errno;
  if (info->si_code == sampled) {
    on_sample();
    errno = error;
    return;
  }
  auto& context = *static_cast<ucontext_t*>(argument);
  Recorder* recorder = the_current.recorder.load();
  Explorer* explorer = the_current.explorer.load();
  const bool from_breakpoint = info->si_code == SI_KERNEL;
  const bool on_a = ::gettid() == the_current.thread.load();
  if (is_ours(*info) && (recorder != nullptr || explorer != nullptr) && on_a) {
    the_current.traps.fetch_add(1, std::memory_order_relaxed);
    if (recorder != nullptr)
      recorder->on_trap(context, from_breakpoint);
    else
      explorer->on_trap(context, from_breakpoint);
    errno = error;
    return;
  }
  if (from_breakpoint) {
    const std::uint64_t address = program_counter(context) - 1;
    if (meets_random_trap(context, address)) {
      errno = error;
      return;
    }
    // A thread of the plugin's own, or a process that it forked.
    if (recorder != nullptr) recorder->drop(address);
    if (explorer != nullptr) explorer->drop(address);
    // Also when A took it out in the meantime.
    if (*reinterpret_cast<const volatile std::uint8_t*>(address) != int3) {
      set_program_counter(context, address);
      errno = error;
      return;
    }
  }
  errno = error;
  if ((previous.sa_flags & SA_SIGINFO) != 0 && previous.sa_sigaction != nullptr) {
    previous.sa_sigaction(signal, info, argument);
  } else {
    ::signal(SIGTRAP, SIG_DFL);
    ::raise(SIGTRAP);
  }
}

#endif

}  // namespace

Current& current() { return the_current; }

void set_unreturning(std::vector<std::uint64_t> functions) { unreturning = std::move(functions); }

bool is_unreturning(std::uint64_t address) {
  return std::find(unreturning.begin(), unreturning.end(), address) != unreturning.end();
}

bool waits_for_lock(int call_file) {
  char text[32];
  const ssize_t got = ::pread(call_file, text, sizeof text - 1, 0);
  if (got <= 0 || text[0] < '0' || text[0] > '9') return false;  // "running", or "-1 ..."
  int number = 0;
  for (ssize_t i = 0; i < got && text[i] >= '0' && text[i] <= '9'; ++i)
    number = number * 10 + (text[i] - '0');
  return number == SYS_futex || number == SYS_flock || number == SYS_fcntl;
}

#if defined(__x86_64__)

void install_handler() {
  static bool installed = false;
  if (installed) return;
  installed = true;
  struct sigaction action {};
  action.sa_sigaction = on_signal;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART;
  sigemptyset(&action.sa_mask);
  ::sigaction(SIGTRAP, &action, &previous);
}

void Breakpoint::plant(std::uint64_t address) {
  auto* byte = reinterpret_cast<volatile std::uint8_t*>(address);
  original_ = *byte;
  address_ = address;
  *byte = int3;
}

void Breakpoint::remove() {
  const std::uint64_t address = address_.exchange(0);
  if (address != 0) *reinterpret_cast<volatile std::uint8_t*>(address) = original_;
}

// --- recording ---------------------------------------------------------------

void Recorder::await_entry() {
  state = State::waiting;
  for (std::size_t i = 0; i < entries->size(); ++i) at_entries[i].plant((*entries)[i]);
}

void Recorder::stop() {
  for (Breakpoint& entry : at_entries) entry.remove();
  at_return.remove();
}

void Recorder::drop(std::uint64_t address) {
  lost = true;
  for (Breakpoint& entry : at_entries)
    if (entry.at(address)) entry.remove();
  if (at_return.at(address)) at_return.remove();
}

void Recorder::on_trap(ucontext_t& context, bool from_breakpoint) {
  if (!from_breakpoint) {
    on_step(context);
    return;
  }
  const std::uint64_t address = program_counter(context) - 1;
  set_program_counter(context, address);
  if (state == State::waiting) {
    stop();
    enter(context);
    return;
  }
  if (state != State::outside || !at_return.at(address)) {
    lost = true;
    stop();
    return;
  }
  at_return.remove();
  if (stack_pointer(context) >= return_stack) {
    state = State::stepping;
    note(address | Recorder::from_outside, context);
    set_stepping(context, true);
  } else {
    // A function called back from outside came by; ours is still to return.
    state = State::over_breakpoint;
    set_stepping(context, true);
  }
}

void Recorder::enter(ucontext_t& context) {
  state = State::stepping;
  entry_stack = stack_pointer(context);
  note(program_counter(context) | from_outside, context);
  set_stepping(context, true);
}

void Recorder::note(std::uint64_t address, ucontext_t& context) {
  if (trace.size() == trace.capacity()) {
    lost = true;  // too long an operation
    set_stepping(context, false);
    state = State::outside;
    return;
  }
  trace.push_back(address);
}

void Recorder::finish(ucontext_t& context) {
  set_stepping(context, false);
  await_entry();
}

void Recorder::go_fast(ucontext_t& context, std::uint64_t until, std::uint64_t stack) {
  set_stepping(context, false);
  state = State::outside;
  outside_steps = 0;
  return_address = until;
  return_stack = stack;
  at_return.plant(until);
}

// The length of a string instruction with a repeat prefix, which traps once for
// each round; 0: another instruction.
unsigned repeated_length(std::uint64_t address) {
  const auto* code = reinterpret_cast<const std::uint8_t*>(address);
  if (code[0] != 0xf2 && code[0] != 0xf3) return 0;
  const unsigned at = (code[1] & 0xf0) == 0x40 ? 2 : 1;
  const std::uint8_t operation = code[at];
  const bool string =
      (operation >= 0xa4 && operation <= 0xa7) || (operation >= 0xaa && operation <= 0xaf);
  return string ? at + 1 : 0;
}

void Recorder::on_step(ucontext_t& context) {
  constexpr std::uint32_t most_outside = 200'000;
  const std::uint64_t address = program_counter(context);
  const std::uint64_t stack = stack_pointer(context);
  if (state == State::over_breakpoint) {
    // One instruction further on; wait for the right return again.
    set_stepping(context, false);
    state = State::outside;
    at_return.plant(return_address);
    return;
  }
  if (state != State::stepping) {
    set_stepping(context, false);
    return;
  }
  if (code->contains(address)) {
    const bool came_back = outside_steps != 0;
    outside_steps = 0;
    const bool again =
        trace.size() >= 2 && trace.back() == address && trace[trace.size() - 2] == address;
    if (const unsigned length = again ? repeated_length(address) : 0; length != 0) {
      go_fast(context, address + length, stack);
      return;
    }
    note(came_back ? address | from_outside : address, context);
    return;
  }
  if (stack > entry_stack) {  // the callback has returned
    finish(context);
    return;
  }
  if (outside_steps == 0 && !is_unreturning(address)) {
    const std::uint64_t caller = *reinterpret_cast<const std::uint64_t*>(stack);
    if (code->contains(caller)) {
      go_fast(context, caller, stack + 8);
      return;
    }
    if (stack == entry_stack) {  // its last act was a jump elsewhere
      finish(context);
      return;
    }
  }
  if (++outside_steps > most_outside) {
    lost = true;
    finish(context);
  }
}

// --- exploring ---------------------------------------------------------------

void Explorer::on_trap(ucontext_t& context, bool from_breakpoint) {
  if (from_breakpoint) {
    const std::uint64_t here = program_counter(context) - 1;
    set_program_counter(context, here);
    at_point.remove();
    if (++seen >= wanted) {
      arrive(context);
    } else {
      stepping_over = true;
      set_stepping(context, true);
    }
    return;
  }
  if (!stepping_over) {
    set_stepping(context, false);
    return;
  }
  // The same again: one round of a string instruction.
  if (program_counter(context) == address) {
    if (++seen >= wanted) arrive(context);
    return;
  }
  stepping_over = false;
  set_stepping(context, false);
  at_point.plant(address);
}

void Explorer::drop(std::uint64_t there) {
  if (!at_point.at(there)) return;
  lost = true;
  at_point.remove();
}

void Explorer::arrive(ucontext_t& context) {
  stepping_over = false;
  set_stepping(context, false);
  reached = true;
  let_b_run();
}

namespace {

std::int64_t nanoseconds() {
  timespec time{};
  ::clock_gettime(CLOCK_MONOTONIC, &time);
  return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

}  // namespace

void Explorer::let_b_run() {
  go->set(1);
  const std::int64_t begin = nanoseconds();
  for (int waiting = 0;;) {
    if (b_done->wait_while(0, std::chrono::microseconds(30))) return;
    if (b_running->get() == 0) continue;
    // Twice: it may just be handing something to a thread of its own.
    waiting = waits_for_lock(b_call_file) ? waiting + 1 : 0;
    if (waiting >= 3 || nanoseconds() - begin > patience) {
      blocked = true;
      return;
    }
  }
}

#else

void install_handler() {}
void Breakpoint::plant(std::uint64_t) {}
void Breakpoint::remove() {}
void Recorder::await_entry() {}
void Recorder::stop() {}

#endif

}  // namespace nbdcheck::step
