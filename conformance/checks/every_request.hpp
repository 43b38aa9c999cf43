// One request of every kind that an export can serve, for checks that look at
// what requests leave behind rather than at what they return.
#pragma once

#include <functional>
#include <string_view>
#include <vector>

#include "checks/client.hpp"
#include "nbdcheck/connection.hpp"
#include "subject.hpp"

namespace nbdcheck {

struct RequestKind {
  std::string_view name;  // of the callback: "pread"
  bool modifies = false;
  // Reads into and writes from a buffer of its own.
  std::function<Reply(Connection&, const Place&)> send;
};

// The kinds that `subject` announces; those that modify come last, and of them
// flush is the last.
std::vector<RequestKind> every_request(const Subject& subject);

}  // namespace nbdcheck
