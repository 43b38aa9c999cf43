// /proc as a table of processes.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <string>

namespace nbdcheck::sandbox {

struct ProcessFacts {
  pid_t pid = 0;
  char state = '?';  // 'R', 'S', 'T', 'Z'...: proc_pid_stat(5)
  pid_t parent = 0;
  pid_t group = 0;
  pid_t session = 0;
  std::uint64_t processor = 0;  // clock ticks used, with those of children it waited for
  std::uint64_t own_code = 0;   // of these, those outside of the kernel
  std::uint64_t start = 0;      // clock ticks since boot
  std::uint64_t memory = 0;     // resident, bytes

  [[nodiscard]] bool is_dead() const { return state == 'Z' || state == 'X'; }
};

// Whether one of its threads waits for a disk (state D).
bool waits_for_disk(pid_t pid);

// pid 0 in the result: no such process.
ProcessFacts process_facts(pid_t pid);
std::map<pid_t, ProcessFacts> process_table();

// The value of `variable` in the environment the process was started with; ""
// where there is none, or it may not be read.
std::string environment_of(pid_t pid, const std::string& variable);

// Where /proc/PID/exe points; "" when unknown.
std::string executable_of(pid_t pid);

// Holds also when the file has been deleted or replaced meanwhile.  inode 0:
// unknown.
struct FileIdentity {
  std::uint64_t device = 0;
  std::uint64_t inode = 0;

  friend bool operator==(const FileIdentity&, const FileIdentity&) = default;
};
FileIdentity executable_identity(pid_t pid);

}  // namespace nbdcheck::sandbox
