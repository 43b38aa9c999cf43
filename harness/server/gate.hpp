// The locks behind the four thread models: nbdkit-plugin(3) "Threads".
//
//   model                    connection lock   all requests   this connection
//   serialize_connections    .preconnect to    yes            yes
//                            after .close
//   serialize_all_requests   -                 yes            yes
//   serialize_requests       -                 -              yes
//   parallel                 -                 -              -
//
// A request lock is taken around each handshake step, each request and .close.
// It is not taken around .preconnect: nbdkit promises nothing there, whatever
// the model.  nbdkit also takes a read lock that .unload takes for writing;
// here .unload requires that all connections are gone, so it would exclude
// nobody.
#pragma once

#include <condition_variable>
#include <mutex>

#include "nbdcheck/types.hpp"

namespace nbdcheck {

class Gate {
 public:
  // Before the first connection; fixed from then on.
  void set_model(ThreadModel model) { model_ = model; }
  [[nodiscard]] ThreadModel model() const { return model_; }

  // Held from before .preconnect to after .close; may be released by another
  // thread than took it, which a mutex does not allow.
  class ConnectionLock {
   public:
    explicit ConnectionLock(Gate& gate);
    ~ConnectionLock() { release(); }
    void release();
    ConnectionLock(const ConnectionLock&) = delete;
    ConnectionLock& operator=(const ConnectionLock&) = delete;

   private:
    Gate* gate_ = nullptr;  // null: the model has no such lock
  };

  class RequestLock {
   public:
    RequestLock(Gate& gate, std::mutex& connection)
        : all_(gate.model_ <= ThreadModel::serialize_all_requests ? &gate.all_requests_ : nullptr),
          connection_(gate.model_ <= ThreadModel::serialize_requests ? &connection : nullptr) {
      if (all_ != nullptr) all_->lock();
      if (connection_ != nullptr) connection_->lock();
    }
    ~RequestLock() {
      if (connection_ != nullptr) connection_->unlock();
      if (all_ != nullptr) all_->unlock();
    }
    RequestLock(const RequestLock&) = delete;
    RequestLock& operator=(const RequestLock&) = delete;

   private:
    std::mutex* all_;
    std::mutex* connection_;
  };

 private:
  ThreadModel model_ = ThreadModel::serialize_connections;
  std::mutex all_requests_;
  std::mutex connection_mutex_;
  std::condition_variable connection_free_;
  bool connection_taken_ = false;
};

}  // namespace nbdcheck
