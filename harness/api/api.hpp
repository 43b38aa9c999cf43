// What the files that implement the nbdkit_* functions have in common.
#pragma once

#include <cerrno>
#include <cstdarg>
#include <string>
#include <string_view>

#include "api/host.hpp"

// The header offers the older API 1 unless told otherwise.
#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

// The library is built with hidden visibility; what plugins call must not be.
#define NBDCHECK_API extern "C" __attribute__((visibility("default")))

// Has the compiler check calls; nbdkit-common.h asks only some compilers to.
#define NBDCHECK_PRINTF(format_at, first_at) __attribute__((format(printf, format_at, first_at)))

namespace nbdcheck::api {

// nbdkit-plugin(3) "Debugging and logging": nbdkit_error and nbdkit_debug keep
// errno, so everything reporting through them must as well.
class KeepErrno {
 public:
  KeepErrno() : saved_(errno) {}
  ~KeepErrno() { errno = saved_; }
  KeepErrno(const KeepErrno&) = delete;
  KeepErrno& operator=(const KeepErrno&) = delete;

 private:
  int saved_;
};

// printf to a string; "%m" is the errno at entry.
NBDCHECK_PRINTF(1, 0) std::string format(const char* message, va_list args);

// The message goes to the host, or to stderr where there is none.  errno kept.
void report_error(std::string_view text);
void report_debug(std::string_view text);
bool verbose();

// To the host; dropped where there is none.  errno kept.
void report_incident(IncidentKind kind, std::string text);

// Copies `text` (and a final NUL) to memory the caller frees with free(3);
// nullptr, with a message, when there is none.
char* copy_for_caller(std::string_view text);

// Quotes a string of the plugin's for a message: bounded, one line.
std::string quoted(std::string_view text);

}  // namespace nbdcheck::api
