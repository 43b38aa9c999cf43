// Copies of files that cost what is in them, not what they could hold.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <string>

namespace nbdcheck {

// Bytes of disk that the file takes.
std::uint64_t allocated_bytes(const struct stat& status);

// Makes `to`, which must not exist, a copy of the regular file `from`: sharing
// its blocks where the file system can, else copying data and leaving holes.
// Opens `from` for reading only.  Returns 0 or an errno value.
int copy_sparse(const std::string& from, const std::string& to);

}  // namespace nbdcheck
