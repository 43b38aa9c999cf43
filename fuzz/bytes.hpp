// Operations as bytes, and back: what a fuzzer changes.
//
// Sixteen bytes an operation, little-endian: kind and payload, flags, connection,
// thread, count (4), offset (8).  An offset below zero counts from the end.  Any bytes
// are operations that the export takes: what is out of range is folded into it.  So
// every input is a valid plan, and a change of one field changes one operation.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "plan/plan.hpp"
#include "subject.hpp"

namespace nbdcheck::fuzz {

inline constexpr std::size_t record_size = 16;
inline constexpr std::size_t most_operations = 256;

struct Limits {
  unsigned connections = 2;
  unsigned threads = 1;                         // 2: requests at once
  std::uint32_t most_bytes = max_request_size;  // of a read or write
  std::uint64_t all_bytes = 256U << 20;         // of all of them; then they are short
};

std::vector<Operation> operations_of(std::span<const std::uint8_t> bytes, const Subject& subject,
                                     const Limits& limits);
std::vector<std::uint8_t> bytes_of(std::span<const Operation> operations);

// How buffers are handed to the plugin: the first record says.
BufferMode buffers_of(std::span<const std::uint8_t> bytes);
void set_buffers(std::span<std::uint8_t> bytes, BufferMode mode);

// Plans for where generated ones seldom come: the end of the export, beyond 2 and
// 4 GiB, requests as long as they may be, the same range asked for again and again,
// guarded buffers.  Small exports fold them.
std::vector<std::vector<std::uint8_t>> aimed_inputs();

// Changes `bytes` (of `size`, at most `most`) in place, as plans are changed: an
// operation is added, taken out, repeated, moved, made to touch another one or to
// lie at a boundary.  The new size.
std::size_t mutate(std::uint8_t* bytes, std::size_t size, std::size_t most, std::uint32_t seed);
// The beginning of one plan and the end of another.
std::size_t cross(std::span<const std::uint8_t> a, std::span<const std::uint8_t> b,
                  std::span<std::uint8_t> out, std::uint32_t seed);

}  // namespace nbdcheck::fuzz
