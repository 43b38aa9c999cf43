// What a plugin closes that is not open: a descriptor closed twice.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "nbdcheck/code.hpp"
#include "nbdcheck/types.hpp"

namespace nbdcheck {

struct BadClose {
  int descriptor = -1;
  std::uint64_t at = 0;               // return address of the call
  Callback where = Callback::count_;  // count_: in none, on a thread of the plugin's
};

// One at a time in a process.  Sees calls of close(2) that the plugin imports, in
// this process, not in those it forks.  Not close(-1), which means nothing.
// REQUIRES: the plugin is loaded, and stays so.
class CloseWatch {
 public:
  explicit CloseWatch(const Code& code);
  ~CloseWatch();
  CloseWatch(const CloseWatch&) = delete;
  CloseWatch& operator=(const CloseWatch&) = delete;

  // The first few that were answered with EBADF.
  [[nodiscard]] std::vector<BadClose> bad() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace nbdcheck
