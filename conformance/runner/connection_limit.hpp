// How many clients a plugin lets in at the same time.
#pragma once

#include <string>

#include "nbdcheck/server.hpp"
#include "subject.hpp"

namespace nbdcheck {

// Opens more and more connections and closes them again: sets connections_seen and
// more_wait.  A plugin may let a client wait in .open until another one leaves, as
// nbdkit does for it under SERIALIZE_CONNECTIONS: that is no hang.
//
// Does not return where a callback never does.
void count_connections(Server& server, const std::string& export_name, Subject& subject);

}  // namespace nbdcheck
