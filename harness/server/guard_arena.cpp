#include "server/guard_arena.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <new>

#include "nbdcheck/status_page.hpp"

namespace nbdcheck {
namespace {

void* reserve(void* where, std::size_t size) {
  const int fixed = where != nullptr ? MAP_FIXED : 0;
  return ::mmap(where, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | fixed, -1, 0);
}

}  // namespace

std::size_t GuardArena::page_size() {
  static const auto size = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  return size;
}

GuardArena& GuardArena::instance() {
  // Never destroyed: a thread of the plugin's may outlive our statics.
  static GuardArena& arena = *new GuardArena;  // NOLINT(cppcoreguidelines-owning-memory)
  return arena;
}

// Addresses cost nothing but what ulimit -v allows.
GuardArena::GuardArena() {
  constexpr std::size_t wanted = std::size_t{16} << 30;
  constexpr std::size_t least = std::size_t{512} << 20;
  for (std::size_t size = wanted; size >= least; size /= 2) {
    void* base = reserve(nullptr, size);
    if (base == MAP_FAILED) continue;
    begin_ = reinterpret_cast<std::uintptr_t>(base);
    end_ = begin_ + size;
    next_ = begin_;
    status_page().guard_begin.store(begin_, std::memory_order_relaxed);
    status_page().guard_end.store(end_, std::memory_order_relaxed);
    return;
  }
  throw std::bad_alloc();
}

std::byte* GuardArena::take(std::size_t size) {
  const std::size_t page = page_size();
  const std::size_t with_guards = size + 2 * page;
  std::uintptr_t begin = 0;
  {
    const std::lock_guard lock(mutex_);
    begin = next_;
    bool wrapped = false;
    // Past what is still in use; buffers live for one request, so this is
    // seldom more than one step.
    for (;;) {
      if (with_guards > end_ - begin) {
        if (wrapped) throw std::bad_alloc();
        wrapped = true;
        begin = begin_;
      }
      auto after = in_use_.upper_bound(begin);
      if (after != in_use_.begin() && std::prev(after)->second > begin) {
        begin = std::prev(after)->second;
      } else if (after != in_use_.end() && after->first < begin + with_guards) {
        begin = after->second;
      } else {
        break;
      }
    }
    next_ = begin + with_guards;
    in_use_.emplace(begin, next_);
  }
  void* pages = reinterpret_cast<void*>(begin + page);
  if (::mprotect(pages, size, PROT_READ | PROT_WRITE) != 0) {
    const std::lock_guard lock(mutex_);
    in_use_.erase(begin);
    throw std::bad_alloc();
  }
  return static_cast<std::byte*>(pages);
}

// A fresh reservation in its place: inaccessible, and its memory is gone.
void GuardArena::give_back(std::byte* pages, std::size_t size) noexcept {
  reserve(pages, size);
  const std::lock_guard lock(mutex_);
  in_use_.erase(reinterpret_cast<std::uintptr_t>(pages) - page_size());
}

}  // namespace nbdcheck
