// nbdkit-filter.h as far as it is visible to plugins.  The real header is not
// included: its types have no stable ABI and its names clash with ours.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "api/host.hpp"

struct nbdkit_next_ops;
struct nbdkit_backend;
struct nbdkit_context;

struct nbdkit_extent {
  std::uint64_t offset;
  std::uint64_t length;
  std::uint32_t type;
};

struct nbdkit_export {
  char* name;
  char* description;
};

namespace nbdcheck::api {

// Functions of nbdkit-filter(3) are in the server's symbol table, so a plugin
// can call them; it should not.
void report_filter_function(const char* function);

}  // namespace nbdcheck::api
