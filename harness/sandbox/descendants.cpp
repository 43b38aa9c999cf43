#include "sandbox/descendants.hpp"

#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <map>
#include <mutex>
#include <thread>

#include "sandbox/child.hpp"
#include "sandbox/process_table.hpp"

namespace nbdcheck::sandbox {
namespace {

using Clock = std::chrono::steady_clock;

// Children of this process that run now, by run_child on any thread.
struct Registry {
  std::mutex mutex;
  std::map<pid_t, std::string> markers;
  bool closed = false;  // no child is started any more
};

Registry& registry() {
  static Registry instance;
  return instance;
}

// After end_all_children the process is about to die: no child is to be started
// any more, and the end of none to be believed.
std::unique_lock<std::mutex> lock_open_registry() {
  std::unique_lock lock(registry().mutex);
  if (!registry().closed) return lock;
  lock.unlock();
  for (;;) ::pause();
}

// Below which process that concerns us does `process` stand?
struct Ancestry {
  pid_t child = 0;  // a registered child, 0: none
  pid_t top = 0;    // the ancestor (or itself) that is a child of this process, 0: none
};

Ancestry ancestry(const std::map<pid_t, ProcessFacts>& table, const Registry& children,
                  const ProcessFacts& process) {
  const pid_t self = ::getpid();
  const ProcessFacts* at = &process;
  // The table is no snapshot: a reused pid may close a circle.
  for (std::size_t steps = 0; steps < table.size(); ++steps) {
    if (children.markers.contains(at->pid)) return {at->pid, at->pid};
    if (at->parent == self) return {0, at->pid};
    const auto parent = table.find(at->parent);
    if (parent == table.end()) break;
    at = &parent->second;
  }
  return {};
}

}  // namespace

void become_subreaper() {
  static const int done = ::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
  (void)done;
}

int remember_child(pid_t& pid, const std::string& marker, const std::function<int(pid_t&)>& start) {
  const auto lock = lock_open_registry();
  const int error = start(pid);
  if (error == 0) registry().markers.emplace(pid, marker);
  return error;
}

void forget_child(pid_t pid) {
  const auto lock = lock_open_registry();
  registry().markers.erase(pid);
}

std::vector<Descendants::Found> Descendants::find() {
  std::vector<Found> found;
  const std::lock_guard lock(registry().mutex);
  const Registry& children = registry();
  const pid_t own_session = ::getsid(0);
  const std::map<pid_t, ProcessFacts> table = process_table();
  for (const auto& [pid, process] : table) {
    if (pid == child_ || process.session == own_session) continue;
    const Ancestry above = ancestry(table, children, process);
    if (above.top == 0 || (above.child != 0 && above.child != child_)) continue;
    if (process.is_dead()) {
      // An orphan that died came to us.  Whose it was cannot be told any more
      // and does not matter.
      if (process.parent == ::getpid() && above.child == 0) ::waitpid(pid, nullptr, WNOHANG);
      continue;
    }
    bool ours = above.child == child_ || sessions_.contains(process.session) ||
                known_.contains({pid, process.start});
    if (!ours) {
      std::string marker = environment_of(pid, marker_variable);
      if (marker.empty() && above.top != pid) marker = environment_of(above.top, marker_variable);
      // One that wiped its environment is left alone while it may belong to
      // a plugin that another thread is still busy with.
      const bool nobody_elses =
          marker.empty() && children.markers.size() == 1 && children.markers.contains(child_);
      ours = marker == marker_ || nobody_elses;
    }
    if (!ours) continue;
    known_.emplace(pid, process.start);
    sessions_.insert(process.session);
    found.push_back({pid, process.group, process.memory, process.processor, process.own_code});
  }
  return found;
}

std::uint64_t Descendants::observe() {
  std::uint64_t memory = 0;
  processor_ = own_code_ = 0;
  for (const Found& process : find()) {
    memory += process.memory;
    processor_ += process.processor;
    own_code_ += process.own_code;
  }
  return memory;
}

int Descendants::end_all(std::chrono::milliseconds grace) {
  sessions_.insert(child_);
  const auto start = Clock::now();
  std::vector<Found> left = find();
  while (!left.empty() && Clock::now() - start < grace) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    left = find();
  }
  std::set<pid_t> killed;
  // Whole groups first: killing a group is atomic against its members forking.
  // A bomb that leaves its group with every fork is outrun, or not within this
  // time.
  const auto deadline = Clock::now() + std::chrono::seconds(10);
  while (!left.empty() && Clock::now() < deadline) {
    std::set<pid_t> groups;
    for (const Found& process : left) {
      if (process.group > 1) groups.insert(process.group);
      killed.insert(process.pid);
    }
    for (const pid_t group : groups) ::kill(-group, SIGKILL);
    for (const Found& process : left) ::kill(process.pid, SIGKILL);
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    left = find();
  }
  return static_cast<int>(killed.size());
}

}  // namespace nbdcheck::sandbox

namespace nbdcheck {

void end_all_children() {
  using namespace sandbox;
  const std::lock_guard lock(registry().mutex);
  registry().closed = true;
  const pid_t own_session = ::getsid(0);
  const auto deadline = Clock::now() + std::chrono::seconds(10);
  for (bool any = true; any && Clock::now() < deadline;) {
    any = false;
    const std::map<pid_t, ProcessFacts> table = process_table();
    for (const auto& [pid, process] : table) {
      if (process.session == own_session || process.is_dead()) continue;
      if (ancestry(table, registry(), process).top == 0) continue;
      any = true;
      ::kill(-process.group, SIGKILL);
      ::kill(pid, SIGKILL);
    }
    if (any) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

}  // namespace nbdcheck
