// Strings handed to the plugin that live as long as a connection or the
// process (nbdkit-plugin(3) "STRING LIFETIME").  At their end they are
// overwritten before they are freed, so that a plugin that kept one reads
// nonsense, and each is an allocation of its own, so that AddressSanitizer sees
// it.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <memory>
#include <mutex>
#include <string_view>
#include <vector>

namespace nbdcheck {

class InternedStrings {
 public:
  InternedStrings() = default;
  ~InternedStrings() { clear(); }
  InternedStrings(const InternedStrings&) = delete;
  InternedStrings& operator=(const InternedStrings&) = delete;

  // `raced` tells that another thread was in here at the same time.
  const char* add(std::string_view text, bool& raced) {
    raced = inside_.fetch_add(1, std::memory_order_relaxed) != 0;
    String string{std::make_unique<char[]>(text.size() + 1), text.size()};
    std::copy(text.begin(), text.end(), string.bytes.get());
    const char* result = string.bytes.get();
    {
      const std::lock_guard lock(mutex_);
      strings_.push_back(std::move(string));
    }
    inside_.fetch_sub(1, std::memory_order_relaxed);
    return result;
  }

  void clear() {
    const std::lock_guard lock(mutex_);
    for (String& string : strings_) {
      // volatile: the stores would otherwise be dropped before the delete.
      volatile char* byte = string.bytes.get();
      for (std::size_t i = 0; i < string.length; ++i) byte[i] = poison;
    }
    strings_.clear();
  }

  static constexpr char poison = '\x7f';

 private:
  struct String {
    std::unique_ptr<char[]> bytes;
    std::size_t length;
  };
  std::mutex mutex_;
  std::atomic<int> inside_{0};
  std::vector<String> strings_;
};

}  // namespace nbdcheck
