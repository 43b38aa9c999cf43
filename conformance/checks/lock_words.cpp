#include "checks/lock_words.hpp"

#include <fmt/format.h>

namespace nbdcheck {
namespace {

// `address` is where a call returns to, which may be on the next line.
std::string caller(const Code& code, std::uint64_t address) { return code.source(address - 1); }

}  // namespace

std::vector<std::string> order_words(const LockCycle& cycle, const Code& code) {
  std::vector<std::string> lines;
  for (const LockCycle::Step& step : cycle.steps) {
    lines.push_back(fmt::format("{} ({})", code.variable(step.held), caller(code, step.held_at)));
    lines.push_back(
        fmt::format("  then {} ({})", code.variable(step.wanted), caller(code, step.wanted_at)));
  }
  return lines;
}

std::vector<std::string> deadlock_words(const LockCycle& cycle, const Code& code) {
  std::vector<std::string> lines;
  for (const LockCycle::Step& step : cycle.steps) {
    lines.push_back(fmt::format("thread {} waits for {} in {}", step.thread,
                                code.variable(step.wanted), caller(code, step.wanted_at)));
    lines.push_back(fmt::format("  and holds {}, taken in {}", code.variable(step.held),
                                caller(code, step.held_at)));
  }
  return lines;
}

}  // namespace nbdcheck
