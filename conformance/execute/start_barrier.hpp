// Lets threads go together.  Those that wait spin for a moment, so that they
// start within a fraction of a microsecond where there are processors for all,
// and then give way: where there are not, whoever is late needs this one.
#pragma once

#include <atomic>
#include <thread>

namespace nbdcheck {

class StartBarrier {
 public:
  StartBarrier(unsigned threads, unsigned processors)
      : threads_(threads), spins_(threads <= processors ? 400 : 20) {}

  void arrive() {
    const unsigned phase = phase_.load(std::memory_order_relaxed);
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == threads_) {
      arrived_.store(0, std::memory_order_relaxed);
      // In one order with what wait() counts: with release, notify_all() of libstdc++
      // may read that nobody waits before the store is seen by who is about to.
      phase_.store(phase + 1, std::memory_order_seq_cst);
      phase_.notify_all();
      return;
    }
    for (unsigned i = 0; i < spins_; ++i) {
      if (phase_.load(std::memory_order_acquire) != phase) return;
      relax();
    }
    for (unsigned i = 0; i < yields; ++i) {
      if (phase_.load(std::memory_order_acquire) != phase) return;
      std::this_thread::yield();
    }
    while (phase_.load(std::memory_order_acquire) == phase)
      phase_.wait(phase, std::memory_order_acquire);
  }

  static void relax() {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
  }

 private:
  static constexpr unsigned yields = 40;
  unsigned threads_;
  unsigned spins_;
  std::atomic<unsigned> arrived_{0};
  alignas(64) std::atomic<unsigned> phase_{0};
};

}  // namespace nbdcheck
