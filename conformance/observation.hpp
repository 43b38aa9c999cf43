// What a client saw of one request, in terms that two servers share.
#pragma once

#include <cstddef>
#include <vector>

#include "nbdcheck/extents.hpp"

namespace nbdcheck {

struct Observation {
  bool any = false;             // a request was made at all
  bool reached_plugin = false;  // as far as is known
  int error = 0;                // as it goes over the wire
  std::vector<std::byte> data;  // of a read that succeeded
  std::vector<Extent> map;      // of extents: cut to the request, equal neighbours merged
};

}  // namespace nbdcheck
