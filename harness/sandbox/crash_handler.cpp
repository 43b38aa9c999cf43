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

#if defined(__has_feature)
#define NBDCHECK_HAS_FEATURE(x) __has_feature(x)
#else
#define NBDCHECK_HAS_FEATURE(x) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || \
    NBDCHECK_HAS_FEATURE(address_sanitizer) || NBDCHECK_HAS_FEATURE(thread_sanitizer)
#define NBDCHECK_SANITIZED 1
#else
#define NBDCHECK_SANITIZED 0
#endif

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

void on_crash(int signal, siginfo_t* info, void* context) {
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
  if (NBDCHECK_SANITIZED == 0) {
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
