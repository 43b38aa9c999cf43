// Strings handed to the plugin that live as long as a connection or the
// process (nbdkit-plugin(3) "STRING LIFETIME").  At their end they are
// overwritten before they are freed, so that a plugin that kept one reads
// nonsense, and each is an allocation of its own, so that AddressSanitizer sees
// it.  Guarded ones have pages of their own, where a later look is caught.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <memory>
#include <mutex>
#include <string_view>
#include <thread>
#include <vector>

#include "server/guard_arena.hpp"

namespace nbdcheck {

class InternedStrings {
 public:
  explicit InternedStrings(bool guarded = false) : guarded_(guarded) {}
  ~InternedStrings() { clear(); }
  InternedStrings(const InternedStrings&) = delete;
  InternedStrings& operator=(const InternedStrings&) = delete;

  // `raced` tells that another thread was in here at the same time.
  const char* add(std::string_view text, bool& raced) {
    raced = inside_.fetch_add(1, std::memory_order_relaxed) != 0;
    String string = make(text.size() + 1);
    std::copy(text.begin(), text.end(), string.begin());
    const char* result = string.begin();
    bool stays = false;
    {
      const std::lock_guard lock(mutex_);
      strings_.push_back(std::move(string));
      // Requests that intern are rarely here at the same moment: some stay a
      // little, so that those that may meet do.  The first few are of .open.
      stays = strings_.size() > 8 && strings_.size() < 512;
    }
    if (stays) std::this_thread::sleep_for(std::chrono::microseconds(20));
    inside_.fetch_sub(1, std::memory_order_relaxed);
    return result;
  }

  void clear() {
    const std::lock_guard lock(mutex_);
    for (String& string : strings_) {
      if (string.pages != nullptr) {
        GuardArena::instance().give_back(string.pages, string.size);
        continue;
      }
      // volatile: the stores would otherwise be dropped before the delete.
      volatile char* byte = string.bytes.get();
      for (std::size_t i = 0; i + 1 < string.size; ++i) byte[i] = poison;
    }
    strings_.clear();
  }

  static constexpr char poison = '\x7f';

 private:
  struct String {
    std::unique_ptr<char[]> bytes;
    std::byte* pages;  // or else these, of the arena
    std::size_t size;

    [[nodiscard]] char* begin() const {
      return pages != nullptr ? reinterpret_cast<char*>(pages) : bytes.get();
    }
  };

  [[nodiscard]] String make(std::size_t size) const {
    if (!guarded_) return {std::make_unique<char[]>(size), nullptr, size};
    const std::size_t page = GuardArena::page_size();
    const std::size_t whole = (size + page - 1) / page * page;
    return {nullptr, GuardArena::instance().take(whole), whole};
  }

  const bool guarded_;
  std::mutex mutex_;
  std::atomic<int> inside_{0};
  std::vector<String> strings_;
};

}  // namespace nbdcheck
