// One life of a serving process that is ours to kill: a copy of this process,
// made before any plugin was loaded, loads it, looks at the disk, runs requests
// and ends, orderly or by SIGKILL at the moment of the last reply.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "checks/check_run.hpp"
#include "checks/client.hpp"

namespace nbdcheck {

struct Life {
  bool came_up = false;  // serves, and the export could be opened
  bool ended = false;    // came to the end that was planned
  std::string why;       // where one of them is false
  double seconds = 0;
  // What the places held when it came up; empty: could not be read.
  std::vector<std::vector<std::byte>> contents;
  std::vector<bool> succeeded;  // the requests, one by one
};

enum class Ending : std::uint8_t { orderly, killed };

// REQUIRES: no plugin is loaded, this process has one thread.  Connections are
// opened as the requests name them, the first one always.
Life live(const CheckRun& run, const std::vector<Place>& places,
          const std::vector<Operation>& requests, Ending end);

}  // namespace nbdcheck
