// nbdkit-plugin(3) "ERROR HANDLING" and "DEBUGGING".
#include "api/api.hpp"

using nbdcheck::current_host;
namespace api = nbdcheck::api;

// `nbdkit -D nbdkit.backend.datapath=0` and its kin set these; a plugin built
// against the server's symbols may name them.
NBDCHECK_API int nbdkit_debug_backend_controlpath;
NBDCHECK_API int nbdkit_debug_backend_datapath;
NBDCHECK_API int nbdkit_debug_tls_log;
NBDCHECK_API int nbdkit_debug_tls_session;
int nbdkit_debug_backend_controlpath = 1;
int nbdkit_debug_backend_datapath = 1;
int nbdkit_debug_tls_log = 0;
int nbdkit_debug_tls_session = 0;

NBDCHECK_API NBDCHECK_PRINTF(1, 0) void nbdkit_verror(const char* message, va_list args) {
  api::report_error(api::format(message, args));
}

NBDCHECK_API NBDCHECK_PRINTF(1, 2) void nbdkit_error(const char* message, ...) {
  va_list args;
  va_start(args, message);
  nbdkit_verror(message, args);
  va_end(args);
}

NBDCHECK_API NBDCHECK_PRINTF(1, 0) void nbdkit_vdebug(const char* message, va_list args) {
  // Formatting what nobody reads would slow every request down.
  if (api::verbose()) api::report_debug(api::format(message, args));
}

NBDCHECK_API NBDCHECK_PRINTF(1, 2) void nbdkit_debug(const char* message, ...) {
  va_list args;
  va_start(args, message);
  nbdkit_vdebug(message, args);
  va_end(args);
}

NBDCHECK_API void nbdkit_set_error(int error) {
  if (error <= 0) {
    api::report_incident(nbdcheck::IncidentKind::errno_not_positive,
                         "nbdkit_set_error(" + std::to_string(error) +
                             "): the argument must be a positive errno value");
  }
  if (auto* host = current_host(); host != nullptr) {
    host->set_error(error);
  } else {
    errno = error;
  }
}
