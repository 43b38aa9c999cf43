// An open file descriptor.
#pragma once

#include <unistd.h>

#include <utility>

namespace nbdcheck {

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(other.release()) {}
  Descriptor& operator=(Descriptor&&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }

  [[nodiscard]] int get() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }
  // Network file systems tell of lost data only here.
  int close() { return ::close(release()); }

 private:
  int fd_;
};

}  // namespace nbdcheck
