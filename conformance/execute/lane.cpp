#include "execute/lane.hpp"

#include <exception>
#include <utility>

#include "nbdcheck/preemption.hpp"
#include "nbdcheck/sandbox.hpp"

namespace nbdcheck {

Lane::Lane() : thread_([this] { loop(); }) {}

Lane::~Lane() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void Lane::run(const std::function<void()>& work) {
  start(work);
  wait();
}

void Lane::start(std::function<void()> work) {
  const std::lock_guard lock(mutex_);
  work_ = std::move(work);
  changed_.notify_all();
}

void Lane::wait() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return work_ == nullptr; });
  if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
}

void Lane::loop() {
  prepare_thread();
  const PreemptedThread preempted;
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return stop_ || work_ != nullptr; });
    if (work_ == nullptr) return;
    lock.unlock();
    std::exception_ptr error;
    try {
      work_();
    } catch (...) {
      error = std::current_exception();
    }
    lock.lock();
    error_ = error;
    work_ = nullptr;
    changed_.notify_all();
  }
}

}  // namespace nbdcheck
