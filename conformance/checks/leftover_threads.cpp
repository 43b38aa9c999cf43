#include "checks/leftover_threads.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "checks/thread_stacks.hpp"
#include "nbdcheck/census.hpp"

namespace nbdcheck {
namespace {

struct Mapping {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
  bool executable = false;
  std::string path;
};

std::vector<Mapping> mappings() {
  std::vector<Mapping> all;
  std::ifstream file("/proc/self/maps");
  for (std::string line; std::getline(file, line);) {
    Mapping mapping;
    char dash = 0;
    std::string permissions;
    std::string skipped;
    std::istringstream words(line);
    if (!(words >> std::hex >> mapping.begin >> dash >> mapping.end >> permissions)) continue;
    for (int i = 0; i < 3; ++i) words >> skipped;
    words >> std::ws;
    std::getline(words, mapping.path);
    mapping.executable = permissions.find('x') != std::string::npos;
    all.push_back(std::move(mapping));
  }
  return all;
}

}  // namespace

CodeOfPlugin CodeOfPlugin::of(const std::string& path) {
  CodeOfPlugin code;
  std::array<char, 4096> real{};
  code.path_ = ::realpath(path.c_str(), real.data()) != nullptr ? real.data() : path;
  for (const Mapping& mapping : mappings())
    if (mapping.executable && mapping.path == code.path_)
      code.ranges_.emplace_back(mapping.begin, mapping.end);
  return code;
}

bool CodeOfPlugin::is_gone() const {
  if (ranges_.empty()) return false;  // it was never found
  const auto now = mappings();
  return std::ranges::none_of(now, [&](const Mapping& m) { return m.path == path_; });
}

bool CodeOfPlugin::contains(std::uint64_t address) const {
  return std::ranges::any_of(
      ranges_, [&](const auto& r) { return address >= r.first && address < r.second; });
}

LeftoverThreads threads_within(const CodeOfPlugin& code) {
  LeftoverThreads found;
  const auto map = mappings();
  for (const int thread : threads()) {
    if (thread == ::gettid()) continue;
    const std::uint64_t pointer = waiting_at(thread).stack_pointer;
    const auto stack = std::ranges::find_if(
        map, [&](const Mapping& m) { return pointer >= m.begin && pointer < m.end; });
    if (pointer == 0) found.unsure = true;
    if (pointer == 0 || stack == map.end()) continue;
    const auto holds_code = [&](std::uint64_t begin, std::uint64_t end) {
      constexpr std::uint64_t most = 256U << 10;
      if (end - begin > most) begin = end - most;  // the thread's own function is at the far end
      return std::ranges::any_of(words_at(begin, end),
                                 [&](std::uint64_t word) { return code.contains(word); });
    };
    // The kernel joins a stack with memory that lies beyond its end by chance:
    // the far end may then be another's.
    constexpr std::uint64_t near = 4096;
    if (holds_code(pointer, std::min(stack->end, pointer + near)) ||
        holds_code(pointer, stack->end))
      found.within.push_back(thread);
  }
  return found;
}

}  // namespace nbdcheck
