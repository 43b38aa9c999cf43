#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>

namespace nbdcheck {

// The address space of guarded buffers.  All of it is reserved and
// inaccessible, save the buffers in use.
class GuardArena {
 public:
  static GuardArena& instance();

  // `size` is a multiple of the page size.  The pages are zeroed, readable and
  // writable, with an inaccessible page on either side.
  std::byte* take(std::size_t size);
  void give_back(std::byte* pages, std::size_t size) noexcept;

  static std::size_t page_size();

 private:
  GuardArena();

  std::mutex mutex_;
  std::uintptr_t begin_;
  std::uintptr_t end_;
  std::uintptr_t next_;
  std::map<std::uintptr_t, std::uintptr_t> in_use_;  // begin -> end, guards included
};

}  // namespace nbdcheck
