// The map that .extents draws, asked for in several ways: the rule extents.stable.
// Where pieces are cut is free.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "history.hpp"
#include "nbdcheck/extents.hpp"
#include "nbdcheck/target.hpp"
#include "nbdcheck/types.hpp"

namespace nbdcheck {

class MapWalker {
 public:
  // How the questions of a walk are put.
  struct Style {
    std::uint64_t stride;
    std::uint32_t flags;  // command_flag bits
  };
  static constexpr std::array styles{Style{1U << 20, 0},
                                     Style{65536, 0},
                                     Style{36864 + 512, 0},
                                     Style{8192, 0},
                                     Style{UINT32_MAX, command_flag::req_one},
                                     Style{65536, command_flag::req_one}};

  MapWalker(Session& session, std::uint64_t size, std::uint64_t block)
      : session_(session), size_(size), block_(block) {}

  // The same question again and again.
  std::optional<Violation> look_for_changes(std::uint64_t begin, std::uint64_t end);
  // The same range in one question and in several.
  std::optional<Violation> compare(std::uint64_t begin, std::uint64_t end, const Style& style);

  [[nodiscard]] std::uint64_t questions() const { return questions_; }

 private:
  // Neighbours of one type merged.
  std::vector<Extent> ask(std::uint64_t begin, std::uint64_t end,
                          const Style& style = {UINT32_MAX, 0});

  Session& session_;
  std::uint64_t size_;
  std::uint64_t block_;
  std::uint64_t questions_ = 0;
};

}  // namespace nbdcheck
