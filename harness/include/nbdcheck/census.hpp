// What a process has, at one moment: descriptors, threads, signal dispositions,
// memory, and the settings that all threads share.  Two of them, before and
// after a callback, tell what the plugin changed.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace nbdcheck {

struct OpenDescriptor {
  int number = -1;
  bool closes_on_exec = false;
  std::string target;  // what /proc/self/fd says: "/tmp/disk.img", "socket:[123]"
  dev_t device = 0;    // together they tell one file from another
  ino_t inode = 0;
};
std::vector<OpenDescriptor> open_descriptors();
std::size_t descriptor_count();

// Thread ids of this process.
std::vector<int> threads();

// Whether there are any children, running or not waited for.
bool has_children();

// Children of this process that have ended and were not waited for.
std::size_t zombie_children();

struct SignalDisposition {
  bool ignored = false;
  bool caught = false;
  std::uintptr_t handler = 0;
  bool no_child_wait = false;  // SA_NOCLDWAIT

  friend bool operator==(const SignalDisposition&, const SignalDisposition&) = default;
};
SignalDisposition disposition_of(int signal);

// Of the calling thread, as a set of bits: bit n is signal n.
std::uint64_t blocked_signals();

// What the whole process shares beside descriptors and threads.
struct Surroundings {
  std::string directory;
  std::uint32_t file_mask = 0;          // umask
  std::vector<std::string> variables;   // environ, sorted
  std::string number_locale;            // setlocale(LC_NUMERIC)
  std::map<int, std::uint64_t> limits;  // RLIMIT_...: the soft limit
};
Surroundings surroundings();

struct MemoryUse {
  std::uint64_t allocated = 0;  // by malloc, bytes; 0 where another one is in use
  std::uint64_t mapped = 0;     // all of the address space, bytes
  std::uint64_t resident = 0;   // of it in memory, bytes
};
MemoryUse memory_use();

}  // namespace nbdcheck
