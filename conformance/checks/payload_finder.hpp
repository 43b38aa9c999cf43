// Finds the tagged data of our writes wherever a plugin puts them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <span>
#include <vector>

#include "nbdcheck/file_calls.hpp"

namespace nbdcheck {

class PayloadFinder {
 public:
  void add(std::uint32_t tag, std::uint64_t offset, std::uint32_t count);
  // Any thread.
  [[nodiscard]] std::vector<Piece> find(std::span<const std::byte> bytes) const;

 private:
  struct Payload {
    std::uint64_t begin;  // keys of its words, see tag_key
    std::uint64_t words;
    std::uint32_t tag;
    std::uint64_t place;  // of its first word in the export
  };
  [[nodiscard]] const Payload* whose(std::uint64_t key) const;

  mutable std::mutex mutex_;
  std::vector<Payload> payloads_;  // ascending keys
};

}  // namespace nbdcheck
