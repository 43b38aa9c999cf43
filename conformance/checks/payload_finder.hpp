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
    std::uint32_t tag;
    std::uint64_t begin;
    std::uint64_t end;
  };
  [[nodiscard]] const Payload* whose(std::uint64_t word, std::uint64_t& place) const;
  void find_at(std::span<const std::byte> bytes, std::size_t shift,
               std::vector<Piece>& pieces) const;

  mutable std::mutex mutex_;
  std::vector<Payload> payloads_;
};

}  // namespace nbdcheck
