#include "api/filter.hpp"

#include "api/api.hpp"

namespace nbdcheck::api {

void report_filter_function(const char* function) {
  report_incident(IncidentKind::filter_function,
                  std::string(function) + " is for filters, not for plugins");
}

}  // namespace nbdcheck::api

namespace api = nbdcheck::api;

// nbdkit-filter(3) "Managing the next backend": a plugin has no layer below, so
// there is nothing to hand out.
NBDCHECK_API nbdkit_backend* nbdkit_context_get_backend(nbdkit_context* /*context*/) {
  api::report_filter_function("nbdkit_context_get_backend");
  return nullptr;
}

NBDCHECK_API nbdkit_next_ops* nbdkit_context_set_next(nbdkit_context* /*context*/,
                                                      nbdkit_next_ops* /*next*/) {
  api::report_filter_function("nbdkit_context_set_next");
  return nullptr;
}

NBDCHECK_API nbdkit_next_ops* nbdkit_next_context_open(nbdkit_backend* /*backend*/,
                                                       int /*readonly*/,
                                                       const char* /*export_name*/,
                                                       int /*shared*/) {
  api::report_filter_function("nbdkit_next_context_open");
  return nullptr;
}

NBDCHECK_API void nbdkit_next_context_close(nbdkit_next_ops* /*next*/) {
  api::report_filter_function("nbdkit_next_context_close");
}
