#include "nbdcheck/preemption.hpp"

#include <fmt/format.h>
#include <linux/perf_event.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>

#include "nbdcheck/instruments.hpp"
#include "nbdcheck/status_page.hpp"
#include "step/pause.hpp"
#include "step/trap.hpp"

namespace nbdcheck {
namespace {

// It outlives the object: a thread may still be on its way to the handler.
struct Board {
  std::atomic<bool> on{false};
  std::atomic<bool> waiting{false};  // a thread does
  std::atomic<std::uint64_t> count{0};
  std::uint64_t period = 0;
  step::SharedDraws draws;
};
Board board;

int open_counter() {
#if defined(PERF_ATTR_SIZE_VER7)  // sigtrap is part of it
  perf_event_attr wanted{};
  wanted.size = sizeof wanted;
  wanted.type = PERF_TYPE_SOFTWARE;
  wanted.config = PERF_COUNT_SW_CPU_CLOCK;
  wanted.sample_period = board.period;
  wanted.exclude_kernel = 1;  // in a system call it would be a signal as any other
  wanted.exclude_hv = 1;
  wanted.sigtrap = 1;
  wanted.remove_on_exec = 1;  // sigtrap demands it
  return static_cast<int>(::syscall(SYS_perf_event_open, &wanted, 0, -1, -1, PERF_FLAG_FD_CLOEXEC));
#else
  errno = ENOSYS;
  return -1;
#endif
}

std::string try_it() {
#if defined(__x86_64__)
  if (under_sanitizer() || under_valgrind()) return "an instrument is at work";
  const int counter = open_counter();
  if (counter < 0) return fmt::format("perf_event_open: {}", std::strerror(errno));
  ::close(counter);
  return "";
#else
  return "only on x86-64";
#endif
}

}  // namespace

Preemption::Preemption(PreemptionOptions options) {
  board.count = 0;
  board.period = options.period_nanoseconds;
  board.draws.seed(options.seed);
  step::install_handler();  // before the first counter
  unavailable_ = try_it();
  board.on = unavailable_.empty();
}

Preemption::~Preemption() { board.on = false; }

std::uint64_t Preemption::count() const { return board.count.load(std::memory_order_relaxed); }

PreemptedThread::PreemptedThread() {
  if (board.on.load()) counter_ = open_counter();
}

PreemptedThread::~PreemptedThread() {
  if (counter_ >= 0) ::close(counter_);
}

void step::on_sample() {
  const CallSlot* const slot = detail::this_threads_slot;
  if (slot == nullptr || !board.on.load(std::memory_order_relaxed)) return;
  // One at a time: the others are to run into what it was in the middle of.
  if (!slot->in_callback() || board.waiting.exchange(true)) return;
  board.count.fetch_add(1, std::memory_order_relaxed);
  pause_a_little(board.draws.next());
  board.waiting = false;
}

}  // namespace nbdcheck
