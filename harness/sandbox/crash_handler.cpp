// What happens in a child when the plugin crashes or calls exit().  Everything
// reachable from the signal handler is async-signal-safe.
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <ctime>

#include "nbdcheck/sandbox.hpp"
#include "sandbox/child.hpp"
#include "sandbox/instruments.hpp"
#include "sandbox/page.hpp"

namespace nbdcheck {
namespace {

struct Registers {
  std::uint64_t instruction = 0;
  std::uint64_t caller = 0;
};

Registers registers(const siginfo_t& info, const void* context) {
  Registers result;
  const auto& machine = static_cast<const ucontext_t*>(context)->uc_mcontext;
  // A call through a bad pointer faults at its target, where no unwinder finds
  // its way; the return address tells who called.
  const auto address = reinterpret_cast<std::uint64_t>(info.si_addr);
#if defined(__x86_64__)
  result.instruction = static_cast<std::uint64_t>(machine.gregs[REG_RIP]);
  if (info.si_signo == SIGSEGV && info.si_code > 0 && address == result.instruction) {
    result.caller = *reinterpret_cast<const std::uint64_t*>(machine.gregs[REG_RSP]);
  }
#elif defined(__aarch64__)
  result.instruction = machine.pc;
  if (info.si_signo == SIGSEGV && info.si_code > 0 && address == result.instruction) {
    result.caller = machine.regs[30];
  }
#else
  (void)machine;
  (void)address;
#endif
  return result;
}

constinit std::atomic<bool> crash_taken{false};

// The first thread to come owns the page's crash fields.
bool take_crash(StatusPage& page) {
  const auto end = page.end.load();
  if (end == StatusPage::End::exit_called || crash_taken.exchange(true)) return false;
  page.crash_thread.store(::gettid());
  return true;
}

void report_end(StatusPage& page, StatusPage::End end) {
  page.end.store(end);
  sandbox::nudge_parent();
  sandbox::await_release(page);
}

void die_of(int signal) {
  struct sigaction plain {};
  plain.sa_handler = SIG_DFL;
  ::sigaction(signal, &plain, nullptr);
  ::syscall(SYS_tgkill, ::getpid(), ::gettid(), signal);
}

// Handlers that the plugin's runtime has put over ours, by signal: Go turns a
// fault into a panic that can be recovered, OCaml looks for the end of a stack.
constinit std::array<struct sigaction, NSIG> theirs{};
constinit thread_local std::uintptr_t asked_at = 0;  // the frame that called theirs

void on_crash(int signal, siginfo_t* info, void* context);

bool is_function(const struct sigaction& action) {
  return (action.sa_flags & SA_SIGINFO) != 0 && action.sa_sigaction != nullptr;
}

// Whether the runtime has dealt with it.  One that has not passes it on to the
// handler it found, ours, or goes back to the default.
bool runtime_handles(int signal, siginfo_t* info, void* context) {
  const struct sigaction& action = theirs.at(static_cast<std::size_t>(signal));
  if (!is_function(action)) return false;
  // Passed on, we are called from below the frame that asked.  A handler may
  // leave by siglongjmp instead: the next signal comes to where that one came.
  const auto here = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
  constexpr std::uintptr_t signal_stack = 128 << 10;
  if (here < asked_at && asked_at - here < signal_stack) return false;
  asked_at = here;
  action.sa_sigaction(signal, info, context);
  asked_at = 0;
  struct sigaction now {};
  ::sigaction(signal, nullptr, &now);
  return is_function(now) && now.sa_sigaction == on_crash;
}

// Nobody but us knows what is there, and no runtime is to answer for it.
bool in_guarded_buffers(int signal, const siginfo_t* info) {
  if ((signal != SIGSEGV && signal != SIGBUS) || info->si_code <= 0 || !is_original_process())
    return false;
  const auto address = reinterpret_cast<std::uint64_t>(info->si_addr);
  const StatusPage& page = status_page();
  return address >= page.guard_begin.load() && address < page.guard_end.load();
}

void on_crash(int signal, siginfo_t* info, void* context) {
  if (!in_guarded_buffers(signal, info) && runtime_handles(signal, info, context)) return;
  if (!is_original_process()) {
    die_of(signal);
    return;
  }
  StatusPage& page = status_page();
  if (take_crash(page)) {
    page.signal = signal;
    page.signal_code = info->si_code;
    page.fault_address = info->si_code > 0 ? reinterpret_cast<std::uint64_t>(info->si_addr) : 0;
    const Registers at = registers(*info, context);
    page.instruction = at.instruction;
    page.caller = at.caller;
    report_end(page, StatusPage::End::crashed);
  } else if (page.crash_thread.load() != ::gettid()) {
    sandbox::await_release(page);  // one crash is enough; keep this stack as it is
  }
  die_of(signal);
}

// A sanitizer has printed its report and is about to end the process.
void on_sanitizer_death() {
  if (!is_original_process()) return;
  StatusPage& page = status_page();
  if (take_crash(page)) report_end(page, StatusPage::End::crashed);
}

void on_exit_called(int status, void*) {
  if (!is_original_process()) return;
  StatusPage& page = status_page();
  auto running = StatusPage::End::running;
  if (page.end.load() != running) return;
  page.exit_status = status;
  page.crash_thread.store(::gettid());
  if (!page.end.compare_exchange_strong(running, StatusPage::End::exit_called)) return;
  sandbox::nudge_parent();
  sandbox::await_release(page);
}

// An alternate signal stack with a guard page below, freed with its thread.
class SignalStack {
 public:
  SignalStack() {
    stack_t now{};
    // A sanitizer or a language runtime may have given one already.
    if (::sigaltstack(nullptr, &now) != 0 || (now.ss_flags & SS_DISABLE) == 0) return;
    void* memory = ::mmap(nullptr, guard + size, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (memory == MAP_FAILED) return;
    memory_ = static_cast<std::byte*>(memory);
    (void)::mprotect(memory_, guard, PROT_NONE);
    stack_t ours{};
    ours.ss_sp = memory_ + guard;
    ours.ss_size = size;
    ::sigaltstack(&ours, nullptr);
  }
  ~SignalStack() {
    if (memory_ == nullptr) return;
    stack_t now{};
    if (::sigaltstack(nullptr, &now) == 0 && now.ss_sp == memory_ + guard) {
      stack_t none{};
      none.ss_flags = SS_DISABLE;
      if (::sigaltstack(&none, nullptr) != 0) return;
    }
    ::munmap(memory_, guard + size);
  }
  SignalStack(const SignalStack&) = delete;
  SignalStack& operator=(const SignalStack&) = delete;

 private:
  static constexpr std::size_t guard = 64 << 10;  // a page, however large pages are
  static constexpr std::size_t size = 128 << 10;  // AMX state alone takes 11 KiB
  std::byte* memory_ = nullptr;
};

}  // namespace

void thread_is_ending() {
  if (!is_original_process() || sandbox::shared_page() == nullptr) return;
  StatusPage& page = status_page();
  auto running = StatusPage::End::running;
  page.crash_thread.store(::gettid());
  if (!page.end.compare_exchange_strong(running, StatusPage::End::thread_ended)) return;
  sandbox::nudge_parent();
  sandbox::await_release(page);
  ::_exit(EXIT_FAILURE);
}

void watch_for_crashes_again() {
  if (sandbox::shared_page() == nullptr) return;  // nobody would be told
  for (const int signal : {SIGSEGV, SIGBUS, SIGFPE, SIGILL}) {
    struct sigaction now {};
    if (::sigaction(signal, nullptr, &now) != 0 || !is_function(now)) continue;
    // A sanitizer's own was there before, and stays.
    if (now.sa_sigaction == on_crash || under_sanitizer()) continue;
    theirs.at(static_cast<std::size_t>(signal)) = now;
    now.sa_sigaction = on_crash;  // with the signals that theirs is to run without
    now.sa_flags |= SA_ONSTACK;
    ::sigaction(signal, &now, nullptr);
  }
}

void prepare_thread() {
  thread_local const SignalStack stack;
  (void)stack;
}

namespace sandbox {

void install_crash_handlers() {
  struct sigaction action {};
  action.sa_sigaction = on_crash;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
  sigemptyset(&action.sa_mask);
  // A sanitizer's own handler says more than ours; on_sanitizer_death follows.
  constexpr std::array sanitizers_own{SIGSEGV, SIGBUS, SIGFPE};
  constexpr std::array others{SIGILL, SIGABRT, SIGSYS, SIGTRAP};
  if (!under_sanitizer()) {
    for (const int signal : sanitizers_own) ::sigaction(signal, &action, nullptr);
  }
  for (const int signal : others) ::sigaction(signal, &action, nullptr);
  at_sanitizer_death(on_sanitizer_death);
  ::on_exit(on_exit_called, nullptr);
}

void await_release(StatusPage& page) {
  timespec start{};
  ::clock_gettime(CLOCK_MONOTONIC, &start);
  for (;;) {
    if (page.release.load() != 0) return;
    timespec now{};
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    if (now.tv_sec - start.tv_sec > release_seconds) return;
    const timespec nap{0, 100'000'000};
    ::syscall(SYS_futex, &page.release, FUTEX_WAIT, 0, &nap, nullptr, 0);
  }
}

}  // namespace sandbox
}  // namespace nbdcheck
