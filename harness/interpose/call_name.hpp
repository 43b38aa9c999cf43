// System calls by name, for people.
#pragma once

namespace nbdcheck::interpose {

// "pwrite"; "?" for a call that is not watched.
const char* call_name(int number);

}  // namespace nbdcheck::interpose
