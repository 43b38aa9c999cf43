#include "sandbox/lock_waits.hpp"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>
#include <string>

namespace nbdcheck::sandbox {
namespace {

// The futex a thread waits on; 0: none.
std::uint64_t futex_of(int process, int thread) {
  std::ifstream file("/proc/" + std::to_string(process) + "/task/" + std::to_string(thread) +
                     "/syscall");
  // "NUMBER ARGUMENT... STACK-POINTER PROGRAM-COUNTER"; or "running".
  long number = -1;
  std::string address;
  std::string operation;
  if (!(file >> number >> address >> operation) || number != SYS_futex) return 0;
  const auto command =
      std::strtoul(operation.c_str(), nullptr, 16) & static_cast<unsigned long>(FUTEX_CMD_MASK);
  if (command != FUTEX_WAIT && command != FUTEX_WAIT_BITSET && command != FUTEX_LOCK_PI) return 0;
  return std::strtoull(address.c_str(), nullptr, 16);
}

// Of a pthread_mutex_t of glibc: the lock word comes first, then a count, then
// the thread that has it.  A mutex that somebody waits for has a lock word of 2.
std::optional<int> owner_of(int process, std::uint64_t mutex) {
  std::array<int, 4> head{};
  iovec local{head.data(), sizeof head};
  iovec remote{reinterpret_cast<void*>(mutex), sizeof head};
  if (::process_vm_readv(process, &local, 1, &remote, 1, 0) != ssize_t{sizeof head})
    return std::nullopt;
  const bool contended = head[0] == 2 || (static_cast<unsigned>(head[0]) & FUTEX_WAITERS) != 0;
  if (!contended || head[2] <= 0 || head[3] <= 0) return std::nullopt;
  return head[2];
}

std::vector<int> threads_of(int process) {
  std::vector<int> threads;
  std::error_code error;
  for (std::filesystem::directory_iterator at("/proc/" + std::to_string(process) + "/task", error),
       end;
       !error && at != end; at.increment(error)) {
    const std::string name = at->path().filename();
    int id = 0;
    if (std::from_chars(name.data(), name.data() + name.size(), id).ec == std::errc())
      threads.push_back(id);
  }
  std::ranges::sort(threads);
  return threads;
}

}  // namespace

std::vector<LockWait> lock_waits(int process) {
  std::vector<LockWait> waits;
  for (const int thread : threads_of(process)) {
    const std::uint64_t futex = futex_of(process, thread);
    if (futex == 0) continue;
    if (const auto owner = owner_of(process, futex)) waits.push_back({thread, futex, *owner});
  }
  find_cycles(waits);
  return waits;
}

void find_cycles(std::span<LockWait> waits) {
  const auto of = [waits](int thread) {
    return std::ranges::find(waits, thread, &LockWait::thread);
  };
  for (LockWait& start : waits) {
    int owner = start.owner;
    for (std::size_t steps = 0; steps < waits.size(); ++steps) {
      if (owner == start.thread) {
        start.in_cycle = true;
        break;
      }
      const auto next = of(owner);
      if (next == waits.end()) break;
      owner = next->owner;
    }
  }
}

}  // namespace nbdcheck::sandbox
