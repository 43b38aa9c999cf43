#include "checks/leftover_threads.hpp"

#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <fstream>
#include <sstream>

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

// The stack pointer of a thread that waits in a system call; 0: it runs.
std::uint64_t stack_pointer(int thread) {
  std::ifstream file("/proc/self/task/" + std::to_string(thread) + "/syscall");
  std::string line;
  if (!std::getline(file, line)) return 0;
  // "NUMBER ARGUMENT... STACK-POINTER PROGRAM-COUNTER"; or "running".
  std::istringstream words(line);
  std::vector<std::string> fields;
  for (std::string word; words >> word;) fields.push_back(word);
  if (fields.size() < 3) return 0;
  return std::strtoull(fields[fields.size() - 2].c_str(), nullptr, 16);
}

// Copied by the kernel: a thread that ends meanwhile takes its stack with it.
std::vector<std::uint64_t> words_at(std::uint64_t begin, std::uint64_t end) {
  constexpr std::uint64_t most = 256U << 10;
  begin = begin / 8 * 8;
  if (end - begin > most) begin = end - most;  // the thread's own function is at the far end
  std::vector<std::uint64_t> words((end - begin) / 8);
  iovec local{words.data(), words.size() * 8};
  iovec remote{reinterpret_cast<void*>(begin), words.size() * 8};
  const ssize_t got = ::process_vm_readv(::getpid(), &local, 1, &remote, 1, 0);
  words.resize(got > 0 ? static_cast<std::size_t>(got) / 8 : 0);
  return words;
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

std::vector<int> threads_within(const CodeOfPlugin& code) {
  std::vector<int> found;
  const auto map = mappings();
  for (const int thread : threads()) {
    if (thread == ::gettid()) continue;
    const std::uint64_t pointer = stack_pointer(thread);
    const auto stack = std::ranges::find_if(
        map, [&](const Mapping& m) { return pointer >= m.begin && pointer < m.end; });
    if (pointer == 0 || stack == map.end()) continue;
    const auto holds_code = [&](std::uint64_t begin, std::uint64_t end) {
      return std::ranges::any_of(words_at(begin, end),
                                 [&](std::uint64_t word) { return code.contains(word); });
    };
    // The kernel joins a stack with memory that lies beyond its end by chance:
    // the far end may then be another's.
    constexpr std::uint64_t near = 4096;
    if (holds_code(pointer, std::min(stack->end, pointer + near)) ||
        holds_code(pointer, stack->end))
      found.push_back(thread);
  }
  return found;
}

}  // namespace nbdcheck
