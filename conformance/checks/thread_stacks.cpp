#include "checks/thread_stacks.hpp"

#include <fmt/format.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <sstream>

#include "nbdcheck/census.hpp"
#include "sandbox/dwfl.hpp"

namespace nbdcheck {
namespace {

// Names of functions, those without an entry among the dynamic symbols as well.
class Symbols {
 public:
  Symbols() : dwfl_(dwfl_for(::getpid())) {}

  [[nodiscard]] std::string function(std::uint64_t address) const {
    Dwfl_Module* module = dwfl_ ? dwfl_addrmodule(dwfl_.get(), address) : nullptr;
    const char* name = module != nullptr ? dwfl_module_addrname(module, address) : nullptr;
    std::string text = name != nullptr ? name : "";
    if (text.ends_with(".abi0")) text.resize(text.size() - 5);  // Go: what C may call
    return text;
  }

 private:
  DwflPointer dwfl_;
};

constexpr std::uint64_t deepest = 16 << 10;  // bytes of a stack
constexpr std::size_t most_functions = 5;

}  // namespace

Waiting waiting_at(int thread) {
  std::ifstream file("/proc/self/task/" + std::to_string(thread) + "/syscall");
  std::string line;
  if (!std::getline(file, line)) return {};
  // "NUMBER ARGUMENT... STACK-POINTER PROGRAM-COUNTER"; or "running".
  std::istringstream words(line);
  std::vector<std::string> fields;
  for (std::string word; words >> word;) fields.push_back(word);
  if (fields.size() < 3) return {};
  return {std::strtoull(fields[fields.size() - 2].c_str(), nullptr, 16),
          std::strtoull(fields.back().c_str(), nullptr, 16)};
}

// Copied by the kernel: a thread that ends meanwhile takes its stack with it.
std::vector<std::uint64_t> words_at(std::uint64_t begin, std::uint64_t end) {
  begin = begin / 8 * 8;
  std::vector<std::uint64_t> words((end - begin) / 8);
  iovec local{words.data(), words.size() * 8};
  iovec remote{reinterpret_cast<void*>(begin), words.size() * 8};
  const ssize_t got = ::process_vm_readv(::getpid(), &local, 1, &remote, 1, 0);
  words.resize(got > 0 ? static_cast<std::size_t>(got) / 8 : 0);
  return words;
}

std::vector<std::string> describe_threads(const CodeOfPlugin& code) {
  const Symbols symbols;
  std::vector<std::string> lines;
  for (const int thread : threads()) {
    if (thread == ::gettid()) continue;
    const Waiting at = waiting_at(thread);
    std::vector<std::string> functions;
    const auto add = [&](std::uint64_t address) {
      std::string name = symbols.function(address);
      if (name.empty() || functions.size() == most_functions) return;
      if (std::ranges::find(functions, name) == functions.end())
        functions.push_back(std::move(name));
    };
    if (at.program_counter != 0) add(at.program_counter);
    if (at.stack_pointer != 0)
      for (const std::uint64_t word : words_at(at.stack_pointer, at.stack_pointer + deepest))
        if (code.contains(word)) add(word - 1);
    lines.push_back(functions.empty()
                        ? fmt::format("thread {}", thread)
                        : fmt::format("thread {}: {}", thread, fmt::join(functions, ", ")));
  }
  return lines;
}

}  // namespace nbdcheck
