#include "server/gate.hpp"

namespace nbdcheck {

Gate::ConnectionLock::ConnectionLock(Gate& gate) {
  if (gate.model_ != ThreadModel::serialize_connections) return;
  std::unique_lock lock(gate.connection_mutex_);
  gate.connection_free_.wait(lock, [&] { return !gate.connection_taken_; });
  gate.connection_taken_ = true;
  gate_ = &gate;
}

void Gate::ConnectionLock::release() {
  if (gate_ == nullptr) return;
  const std::lock_guard lock(gate_->connection_mutex_);
  gate_->connection_taken_ = false;
  gate_->connection_free_.notify_one();
  gate_ = nullptr;
}

}  // namespace nbdcheck
