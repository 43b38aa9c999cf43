// Which sectors one connection has read, and changed: what it could read before it
// was changed, it can read afterwards.
#pragma once

#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <vector>

namespace nbdcheck {

class Readable {
 public:
  struct Range {
    std::uint64_t offset;
    std::uint32_t count;
  };

  // `size`: of the export, in whole blocks.
  Readable(std::uint64_t size, std::uint64_t block);

  // After a request that succeeded.
  void was_read(std::uint64_t offset, std::uint64_t count);
  void was_changed(std::uint64_t offset, std::uint64_t count);
  // Nobody promises anything about it any more: it was trimmed.
  void forget(std::uint64_t offset, std::uint64_t count);

  // The sectors of the range that were read once, and changed later.
  [[nodiscard]] std::vector<Range> changed(std::uint64_t offset, std::uint64_t count,
                                           std::size_t most) const;
  // Other sectors that were read once, from all over the export.
  [[nodiscard]] std::vector<Range> others(std::uint64_t offset, std::uint64_t count,
                                          std::size_t most) const;

 private:
  struct Group {  // one bit for each of 64 sectors
    std::uint64_t read = 0;
    std::uint64_t changed = 0;
  };
  // nullptr: nothing is known of any of its sectors.
  [[nodiscard]] const Group* find(std::uint64_t number) const;
  [[nodiscard]] Range sector(std::uint64_t number) const;
  [[nodiscard]] std::uint64_t whole_sectors_end(std::uint64_t end) const;
  template <typename Visit>
  void for_each_group(std::uint64_t first, std::uint64_t end, bool add, const Visit& visit);

  std::uint64_t size_;
  std::uint64_t length_;    // of a sector
  std::vector<Group> all_;  // of a small export
  std::unordered_map<std::uint64_t, Group> groups_;
};

}  // namespace nbdcheck
