#include "server/buffers.hpp"

#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "nbdcheck/types.hpp"
#include "server/call.hpp"
#include "server/guard_arena.hpp"

namespace nbdcheck {
namespace {

constexpr std::byte canary{0xcb};

std::size_t whole_pages(std::size_t size) {
  const std::size_t page = GuardArena::page_size();
  return (std::max<std::size_t>(size, 1) + page - 1) / page * page;
}

bool all(std::span<const std::byte> bytes, std::byte value) {
  return std::ranges::all_of(bytes, [&](std::byte byte) { return byte == value; });
}

GuardedBuffer::Start start_of(BufferMode mode) {
  return mode == BufferMode::guarded_odd ? GuardedBuffer::Start::odd
                                         : GuardedBuffer::Start::aligned;
}

}  // namespace

GuardedBuffer::GuardedBuffer(std::size_t size, Start start)
    : pages_size_(whole_pages(size + 15)), size_(size) {
  pages_ = GuardArena::instance().take(pages_size_);
  std::size_t at = pages_size_ - size;
  if (start == Start::aligned) at &= ~std::size_t{15};
  data_ = pages_ + at;
  std::ranges::fill(before(), canary);
  std::ranges::fill(after(), canary);
}

GuardedBuffer::~GuardedBuffer() { GuardArena::instance().give_back(pages_, pages_size_); }

std::span<std::byte> GuardedBuffer::before() const { return {pages_, data_}; }
std::span<std::byte> GuardedBuffer::after() const { return {data_ + size_, pages_ + pages_size_}; }

void GuardedBuffer::make_read_only() { ::mprotect(pages_, pages_size_, PROT_READ); }

bool GuardedBuffer::neighbours_intact() const {
  return all(before(), canary) && all(after(), canary);
}

// In the arena, so that a plugin that writes to it or reads past its end
// faults there.  Untouched pages read as zero and take no memory.
const void* zero_block(std::size_t size, BufferMode mode) {
  static const std::byte* const zeroes = [] {
    std::byte* pages = GuardArena::instance().take(max_request_size);
    ::mprotect(pages, max_request_size, PROT_READ);
    return pages;
  }();
  if (mode == BufferMode::direct) return zeroes;
  const std::size_t at = max_request_size - size;
  return zeroes + (mode == BufferMode::guarded ? at & ~std::size_t{15} : at);
}

// --- .pread ------------------------------------------------------------------

namespace {

struct Run {
  std::size_t begin;
  std::size_t end;
};

// The parts of `candidates` that hold nothing but `poison`.
std::vector<Run> still_poisoned(std::span<const std::byte> bytes,
                                const std::vector<Run>& candidates, std::byte poison) {
  std::vector<Run> result;
  for (const Run& candidate : candidates) {
    std::size_t at = candidate.begin;
    while (at < candidate.end) {
      const void* found = std::memchr(&bytes[at], std::to_integer<int>(poison), candidate.end - at);
      if (found == nullptr) break;
      const auto begin =
          static_cast<std::size_t>(static_cast<const std::byte*>(found) - bytes.data());
      std::size_t end = begin;
      while (end < candidate.end && bytes[end] == poison) ++end;
      result.push_back({begin, end});
      at = end;
    }
  }
  return result;
}

// A byte equal to all of these in turn was never set; contents that change at
// random match by chance once in 256^6.
constexpr std::array poisons{std::byte{0xa5}, std::byte{0x5b}, std::byte{0xc7},
                             std::byte{0x39}, std::byte{0xe3}, std::byte{0x71}};

}  // namespace

int Connection::Impl::guarded_pread(std::span<std::byte> destination, std::uint64_t offset) {
  const auto count = static_cast<std::uint32_t>(destination.size());
  std::vector<Run> candidates{{0, destination.size()}};
  for (const std::byte poison : poisons) {
    const GuardedBuffer buffer(destination.size(), start_of(buffer_mode));
    std::ranges::fill(buffer.bytes(), poison);
    const PublishedBuffer published(buffer.data());
    const int error = plugin_pread(buffer.data(), count, offset);
    if (!buffer.neighbours_intact()) {
      server.report(
          IncidentKind::buffer_overrun, Callback::pread,
          fmt::format(".pread(count={}, offset={}) wrote outside its buffer", count, offset));
    }
    // The read itself is the first one; later ones only look closer.
    if (error != 0) return poison == poisons.front() ? error : 0;
    std::ranges::copy(buffer.bytes(), destination.begin());
    candidates = still_poisoned(buffer.bytes(), candidates, poison);
    if (candidates.empty()) return 0;
  }
  std::size_t unset = 0;
  for (const Run& run : candidates) unset += run.end - run.begin;
  server.report(IncidentKind::buffer_unfilled, Callback::pread,
                fmt::format(".pread(count={}, offset={}) returned 0 but did not set {} bytes, the "
                            "first at {} from the start of the buffer",
                            count, offset, unset, candidates.front().begin));
  return 0;
}

// --- .pwrite -----------------------------------------------------------------

int Connection::Impl::guarded_pwrite(std::span<const std::byte> source, std::uint64_t offset,
                                     std::uint32_t flags) {
  GuardedBuffer buffer(source.size(), start_of(buffer_mode));
  std::ranges::copy(source, buffer.data());
  buffer.make_read_only();
  const PublishedBuffer published(buffer.data());
  return plugin_pwrite(buffer.data(), static_cast<std::uint32_t>(source.size()), offset, flags);
}

}  // namespace nbdcheck
