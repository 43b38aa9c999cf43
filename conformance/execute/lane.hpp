// One thread that does what it is given, one thing at a time: the thread of a
// connection.  nbdkit runs a connection's callbacks on the connection's own
// thread, never on the main thread, so we do too.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

namespace nbdcheck {

class Lane {
 public:
  Lane();
  ~Lane();  // waits for the thread
  Lane(const Lane&) = delete;
  Lane& operator=(const Lane&) = delete;

  // Runs `work` on the lane's thread and waits for it.  An exception comes out
  // here.
  void run(const std::function<void()>& work);
  // The same in two steps, so that several lanes run at once.
  void start(std::function<void()> work);
  void wait();

 private:
  void loop();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::function<void()> work_;  // empty: idle
  std::exception_ptr error_;
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace nbdcheck
