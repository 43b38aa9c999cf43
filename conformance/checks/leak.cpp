#include "checks/leak.hpp"

#include <dirent.h>
#include <malloc.h>

#include <algorithm>
#include <array>
#include <memory>

namespace nbdcheck {
namespace {

constexpr std::size_t warm_up = 2;
constexpr std::size_t judged = 4;
constexpr std::uint64_t least_bytes = 16;  // the smallest block malloc gives

struct CloseDirectory {
  void operator()(DIR* directory) const { ::closedir(directory); }
};

std::uint64_t count_of_descriptors() {
  const std::unique_ptr<DIR, CloseDirectory> directory(::opendir("/proc/self/fd"));
  if (!directory) return 0;
  std::uint64_t count = 0;
  while (::readdir(directory.get()) != nullptr) ++count;
  return count;
}

}  // namespace

Holdings holdings_now() {
  const struct mallinfo2 info = ::mallinfo2();
  return {count_of_descriptors(), info.uordblks + info.hblkhd};
}

Leak find_leak(std::uint64_t requests, const std::function<void()>& round) {
  for (std::size_t i = 0; i < warm_up; ++i) round();
  Holdings before = holdings_now();
  std::uint64_t least_descriptors = UINT64_MAX;
  std::uint64_t least_heap = UINT64_MAX;
  for (std::size_t i = 0; i < judged; ++i) {
    round();
    const Holdings now = holdings_now();
    const auto grown = [](std::uint64_t from, std::uint64_t to) {
      return to > from ? to - from : 0;
    };
    least_descriptors = std::min(least_descriptors, grown(before.descriptors, now.descriptors));
    least_heap = std::min(least_heap, grown(before.heap, now.heap));
    before = now;
  }
  if (2 * least_descriptors >= requests)
    return {Leak::Of::descriptors, std::max<std::uint64_t>(1, least_descriptors / requests)};
  if (least_heap >= requests * least_bytes) return {Leak::Of::memory, least_heap / requests};
  return {};
}

}  // namespace nbdcheck
