// The processes a child leaves behind.  The parent is their subreaper: an
// orphan becomes its child, so that every descendant stays below it in the
// process tree.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace nbdcheck::sandbox {

void become_subreaper();

// Starts a child with `start` (0 or an errno value) so that no other thread's
// sweep ever sees it unregistered.
int remember_child(pid_t& pid, const std::string& marker, const std::function<int(pid_t&)>& start);
void forget_child(pid_t pid);

// The descendants of one child.
class Descendants {
 public:
  Descendants(pid_t child, std::string marker) : child_(child), marker_(std::move(marker)) {}

  // Looks at the process tree; returns the resident memory of the descendants
  // (the child itself not included), in bytes.  What is seen while the child
  // lives is recognised later even when it has shaken off its parent, its
  // session and its environment.
  std::uint64_t observe();

  // Clock ticks they had used when they were looked at.
  [[nodiscard]] std::uint64_t processor() const { return processor_; }
  [[nodiscard]] std::uint64_t own_code() const { return own_code_; }  // outside of the kernel

  // Reaps orphans that died; also part of observe() and end_all().
  void reap() { find(); }

  // After the end of the child, before it is reaped: gives what is left of it
  // `grace` to notice that it is alone, then kills it and waits until all are
  // gone.  Returns how many had to be killed.
  int end_all(std::chrono::milliseconds grace);

 private:
  using Identity = std::pair<pid_t, std::uint64_t>;  // pid and start time

  struct Found {
    pid_t pid;
    pid_t group;
    std::uint64_t memory;
    std::uint64_t processor;
    std::uint64_t own_code;
  };
  std::vector<Found> find();

  pid_t child_;
  std::string marker_;
  std::set<Identity> known_;
  std::set<pid_t> sessions_;
  std::uint64_t processor_ = 0;
  std::uint64_t own_code_ = 0;
};

}  // namespace nbdcheck::sandbox
