// What an exploration and its lives share: how far they are, the points there are,
// and in which order they are tried.
#pragma once

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "nbdcheck/step.hpp"

namespace nbdcheck {

inline constexpr std::size_t most_points = 4096;
inline constexpr std::size_t most_known = 16U << 20;

// Shared with the copies; what is stored survives their death.
struct StepBoard {
  std::atomic<std::uint64_t> points;   // to explore, in what was recorded
  std::atomic<std::uint64_t> reached;  // explored
  std::atomic<std::uint64_t> blocked;  // of these, where B had to wait
  std::atomic<std::uint64_t> pair;     // that is at work
  std::atomic<std::uint64_t> area;     // the meeting at work: StepSchedule
  std::atomic<std::uint64_t> place;    // of it among the pair's points
  std::atomic<std::uint64_t> point;
  std::atomic<std::uint32_t> pass;
  std::atomic<std::uint64_t> total;  // points of that pair
  std::atomic<bool> complete;        // the life came to its end
  std::atomic<bool> in_turn;         // what was wrong is wrong without a meeting as well
  StepPoint list[most_points];       // first use: addresses from the code's begin
  std::byte known[most_known];       // what areas held before anything was done
};

class SharedStepBoard {
 public:
  SharedStepBoard() {
    void* map = ::mmap(nullptr, sizeof(StepBoard), PROT_READ | PROT_WRITE,
                       MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (map != MAP_FAILED) board_ = static_cast<StepBoard*>(map);
  }
  ~SharedStepBoard() {
    if (board_ != nullptr) ::munmap(board_, sizeof(StepBoard));
  }
  SharedStepBoard(const SharedStepBoard&) = delete;
  SharedStepBoard& operator=(const SharedStepBoard&) = delete;
  [[nodiscard]] bool valid() const { return board_ != nullptr; }
  StepBoard* operator->() const { return board_; }

 private:
  StepBoard* board_ = nullptr;
};

// An order in which an early end leaves no part of the operation out.
inline std::vector<std::size_t> spread(std::size_t count) {
  std::vector<std::size_t> order;
  std::vector<bool> taken(count);
  order.reserve(count);
  for (std::size_t stride = std::bit_ceil(std::max<std::size_t>(count, 1)); stride > 0; stride /= 2)
    for (std::size_t i = 0; i < count; i += stride)
      if (!taken[i]) {
        taken[i] = true;
        order.push_back(i);
      }
  return order;
}

// Far into a loop takes long to get to.
inline std::vector<std::size_t> order_of(const std::vector<StepPoint>& points) {
  constexpr std::uint32_t few = 4;
  constexpr std::uint32_t most = 128;
  auto order = spread(points.size());
  std::erase_if(order, [&](std::size_t i) { return points[i].occurrence > most; });
  std::stable_partition(order.begin(), order.end(),
                        [&](std::size_t i) { return points[i].occurrence <= few; });
  return order;
}

}  // namespace nbdcheck
