// Carries out one system call in the place of the thread that made it, and
// tells what it came to.
#pragma once

#include <linux/seccomp.h>

#include <atomic>
#include <functional>
#include <optional>
#include <vector>

#include "interpose/files.hpp"
#include "nbdcheck/file_calls.hpp"

namespace nbdcheck::interpose {

// What to answer the kernel.
struct Answer {
  bool go_on = true;  // let the thread make the call itself
  long value = 0;
  int error = 0;
};

// A fault that is due.
class Faults {
 public:
  void set(FileFault fault, int times) {
    left_ = 0;
    fault_ = fault;
    done_ = 0;
    left_ = times;
  }
  // Takes one, if `wanted` is what is due.
  bool take(FileFault wanted) {
    if (fault_.load() != wanted || left_.load() <= 0) return false;
    --left_;
    ++done_;
    return true;
  }
  [[nodiscard]] int done() const { return done_; }

 private:
  std::atomic<FileFault> fault_ = FileFault::none;
  std::atomic<int> left_ = 0;
  std::atomic<int> done_ = 0;
};

class CallCarrier {
 public:
  using Recognise = std::function<std::vector<Piece>(std::span<const std::byte>)>;
  CallCarrier(Files& files, Faults& faults, const Recognise& recognise,
              std::vector<FileCall>& found)
      : files_(files), faults_(faults), recognise_(recognise), found_(found) {}

  // A call of this process.
  Answer take(const seccomp_data& call);
  // Of another one that the plugin started: not its descriptors, not its
  // memory.
  void take_foreign(const seccomp_data& call);

 private:
  using Arguments = unsigned long long[6];
  Answer write(const seccomp_data& call);
  Answer read(const seccomp_data& call);
  Answer copy(const seccomp_data& call);
  Answer sync(const seccomp_data& call);
  Answer sync_memory(const seccomp_data& call);
  Answer map(const seccomp_data& call);
  Answer clear(const seccomp_data& call);
  void send(std::uint64_t size);
  void opaque(const seccomp_data& call);
  void look_at(FileCall& call, const seccomp_data& data, std::uint64_t size);
  void look_at_file(FileCall& call, int fd);
  void keep(FileCall call, const char* detail, const Answer& answer);

  Files& files_;
  Faults& faults_;
  const Recognise& recognise_;
  std::vector<FileCall>& found_;
  const char* name_ = "";
};

}  // namespace nbdcheck::interpose
