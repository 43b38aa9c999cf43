// Requests that a plugin refuses, found by asking for what it may refuse: less
// than its minimum block, more than its maximum, one place after another, the
// whole disk full.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "checks/check_run.hpp"
#include "checks/client.hpp"
#include "plan/plan.hpp"

namespace nbdcheck {

struct Attempt {
  OpKind kind = OpKind::read;
  std::uint32_t flags = 0;  // command_flag bits
  std::uint64_t offset = 0;
  std::uint32_t count = 0;
};
// "pwrite(count=1, offset=3)"
std::string describe(const Attempt& attempt);

Reply perform(Connection& connection, const Attempt& attempt);

struct Refused {
  Attempt attempt;
  int error;
};

// Of each kind of request and each errno the first; those that the server
// itself refused do not count.  Writes to the export.
std::vector<Refused> provoke_refusals(CheckRun& run, Client& client,
                                      std::chrono::milliseconds time);

}  // namespace nbdcheck
