// A word of memory that threads wait on.  All of it may be used in a signal
// handler, which a mutex and a condition variable may not.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

namespace nbdcheck::step {

class Word {
 public:
  [[nodiscard]] std::uint32_t get() const { return value_.load(std::memory_order_acquire); }
  void set(std::uint32_t value);  // and wakes who waits
  void reset(std::uint32_t value) { value_.store(value, std::memory_order_release); }
  void wait_while(std::uint32_t value) const;
  // False: it is still that value after `limit`.
  bool wait_while(std::uint32_t value, std::chrono::nanoseconds limit) const;

 private:
  std::atomic<std::uint32_t> value_{0};
};

}  // namespace nbdcheck::step
