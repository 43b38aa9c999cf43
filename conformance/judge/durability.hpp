// Whether what a plugin acknowledged was durable when it said so, judged by the
// calls it made on its files.  Sees requests and calls only; knows no plugin.
//
// Data are found by what they are: the pieces of a request's payload that a
// call put into a file.  They are durable once a call that makes that place of
// that file durable has ended, and it is enough that one of several copies is.
// Data that never reach a file, encrypted or compressed data, are not judged.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "history.hpp"
#include "nbdcheck/file_calls.hpp"

namespace nbdcheck {

struct DurableRequest {
  Operation operation;  // write, zero, trim or flush; the tag names its data
  bool ok = false;
  // Calls [begin, end) were made from when it was sent until it was answered.
  std::size_t begin = 0;
  std::size_t end = 0;
  // Its data, seen in files that are mapped, when it was answered.
  struct Store {
    int file = -1;
    Piece piece;
  };
  std::vector<Store> stores = {};
};

struct DurabilityRules {
  bool multi_conn = false;
  bool native_fua = false;  // else FUA is a flush that nbdkit sends
};

// Requests in the order in which they were made, one at a time.
std::vector<Violation> judge_durability(const std::vector<DurableRequest>& requests,
                                        const std::vector<FileCall>& calls,
                                        const std::vector<WatchedFile>& files,
                                        const DurabilityRules& rules);

// Whether any data of these requests were seen in a file below the roots.
bool reached_files(const std::vector<DurableRequest>& requests, const std::vector<FileCall>& calls,
                   const std::vector<WatchedFile>& files);

}  // namespace nbdcheck
