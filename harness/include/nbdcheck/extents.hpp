// The list that a plugin's .extents callback fills through nbdkit_add_extent.
// nbdkit-plugin(3) "Extents list"; rules and limits of nbdkit server/extents.c.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace nbdcheck {

namespace extent_type {
inline constexpr std::uint32_t hole = 1U << 0;
inline constexpr std::uint32_t zero = 1U << 1;
}  // namespace extent_type

struct Extent {
  std::uint64_t offset;  // bytes from the start of the export
  std::uint64_t length;  // bytes
  std::uint32_t type;    // bits of extent_type

  friend bool operator==(const Extent&, const Extent&) = default;
};

class ExtentList {
 public:
  // The list covers [start, end): `start` is the request's offset, `end` the
  // export size (not the end of the request).
  ExtentList(std::uint64_t start, std::uint64_t end);

  // What became of one nbdkit_add_extent call.  Everything but the two errors
  // makes nbdkit_add_extent return 0.
  enum class Added {
    kept,           // appended, or merged with an equal neighbour
    ignored,        // zero length, or wholly outside [start, end)
    dropped,        // more than max_extents pieces: nbdkit drops silently
    not_contiguous,  // error: does not start where the previous call ended
    gap_at_start,   // error: the first kept piece starts after `start`
  };
  Added add(std::uint64_t offset, std::uint64_t length, std::uint32_t type);

  [[nodiscard]] const std::vector<Extent>& extents() const { return extents_; }
  [[nodiscard]] std::uint64_t start() const { return start_; }
  [[nodiscard]] std::uint64_t end() const { return end_; }

  static constexpr std::size_t max_extents = 1U << 20;

 private:
  std::uint64_t start_;
  std::uint64_t end_;
  std::uint64_t next_ = 0;
  bool first_ = true;
  std::vector<Extent> extents_;
};

// The descriptors nbdkit sends for a BLOCK_STATUS of [offset, offset+count)
// answered with `list`, including the extra descriptor past the request when
// a boundary falls on the request's end (nbdkit server/protocol.c,
// extents_to_block_descriptors).  `list` must not be empty.
struct BlockDescriptor {
  std::uint32_t length;
  std::uint32_t status;

  friend bool operator==(const BlockDescriptor&, const BlockDescriptor&) = default;
};
std::vector<BlockDescriptor> to_block_descriptors(const ExtentList& list, std::uint64_t offset,
                                                  std::uint32_t count, bool req_one);

}  // namespace nbdcheck
