// Buffers that tell when a plugin strays: each lies between inaccessible pages
// in an arena of its own, and becomes inaccessible itself when the callback has
// returned.  Addresses are used in turn, so an old one stays inaccessible for
// the next hundred buffers at least, and the parent tells a fault here from any
// other by the arena's range in the status page.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "nbdcheck/status_page.hpp"

#include "nbdcheck/connection.hpp"

namespace nbdcheck {

class GuardedBuffer {
 public:
  enum class Start {
    aligned,  // as malloc would: 16 bytes; up to 15 bytes of canary behind
    odd,      // wherever the buffer ends exactly at the guard page
  };
  // Throws std::bad_alloc.
  GuardedBuffer(std::size_t size, Start start);
  ~GuardedBuffer();
  GuardedBuffer(const GuardedBuffer&) = delete;
  GuardedBuffer& operator=(const GuardedBuffer&) = delete;

  [[nodiscard]] std::byte* data() const { return data_; }
  [[nodiscard]] std::span<std::byte> bytes() const { return {data_, size_}; }
  void make_read_only();
  // Whether nothing was written next to the buffer.
  [[nodiscard]] bool neighbours_intact() const;

 private:
  [[nodiscard]] std::span<std::byte> before() const;
  [[nodiscard]] std::span<std::byte> after() const;

  std::byte* pages_;
  std::size_t pages_size_;
  std::byte* data_;
  std::size_t size_;
};

// While it lives the status page says where this thread's guarded buffer is,
// so that the parent can tell an overrun from a pointer kept too long.
class PublishedBuffer {
 public:
  explicit PublishedBuffer(const void* buffer) : slot_(my_slot()) {
    slot_.buffer = reinterpret_cast<std::uintptr_t>(buffer);
  }
  ~PublishedBuffer() { slot_.buffer = 0; }
  PublishedBuffer(const PublishedBuffer&) = delete;
  PublishedBuffer& operator=(const PublishedBuffer&) = delete;

 private:
  CallSlot& slot_;
};

// `size` bytes of zeroes, read-only, at most max_request_size; always there.
const void* zero_block(std::size_t size, BufferMode mode);

}  // namespace nbdcheck
