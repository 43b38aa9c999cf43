// What the server notices while the plugin works, beyond replies: messages the
// plugin prints through nbdkit_error and nbdkit_debug, the calls themselves,
// and incidents (things that real nbdkit lets pass, or aborts on).
//
// The harness only observes.  Which incident breaks which rule is decided in
// conformance/.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "nbdcheck/types.hpp"

namespace nbdcheck {

// Things a plugin did that its contract speaks about.  One enumerator, one
// observation; name() gives the kebab-case word used in reports.
enum class IncidentKind : std::uint8_t {
  return_value,          // a data or life-cycle callback returned other than 0 or -1
  bool_value,            // a can_* returned other than 0, 1, -1
  fua_value,             // can_fua outside -1..2
  cache_value,           // can_cache outside -1..2
  size_value,            // get_size < -1
  thread_model_value,    // static or .thread_model() outside 0..3 (callback: -1 allowed)
  block_size_unset,      // an output of .block_size was left as it was
  block_size_invalid,    // values nbdkit refuses
  errno_not_positive,    // nbdkit_set_error(0 or less)
  no_error_message,      // failed, and nbdkit_error was not called during the callback
  no_errno,              // data callback failed without an errno for the client
  errno_on_success,      // nbdkit_set_error, then success
  errno_lost,            // data callback failed with an errno that the client is told as EINVAL
  missing_callback,      // announced (can_write, can_flush...) but the callback is absent
  fua_without_flush,     // FUA emulation needed .flush and there is none
  extent_not_contiguous,  // nbdkit_add_extent refused: gap or overlap
  extent_wraps,          // offset + length beyond 2^63-1
  extent_type_value,     // bits other than HOLE and ZERO
  extent_none,           // no extent at the offset: none at all, or the first begins behind it
  extent_too_many,       // over 1,048,576 pieces in one call
  extents_foreign,       // nbdkit_add_extent on a list that is not the current one
  export_refused,        // nbdkit_add_export: too long, too many
  exports_foreign,       // nbdkit_add_export on a list that is not the current one
  export_name_null,      // nbdkit_add_export(..., NULL, ...): real nbdkit crashes
  default_export_invalid,  // over 4096 bytes
  description_invalid,   // over 4096 bytes
  string_freed,          // a returned string lay in memory that was free again
  no_context,            // nbdkit_export_name or nbdkit_is_tls where there is no context
  intern_race,           // two threads interning on one connection at once
  nanosleep_too_early,   // nbdkit_nanosleep before serving: real nbdkit may abort
  filter_function,       // a function meant for filters
  buffer_overrun,        // wrote outside buf[0, count)
  buffer_unfilled,       // .pread returned 0 and left bytes of buf unset
  config_modified,       // the plugin wrote to a key or value string
  server_would_abort,    // any other spot where real nbdkit dies on an assertion
  count_,
};

std::string_view name(IncidentKind kind);

struct Incident {
  IncidentKind kind;
  Callback callback;  // the callback that ran, or had just returned
  std::string text;   // one sentence for the plugin's author, with the values
};

class Observer {
 public:
  virtual ~Observer() = default;

  // Called on whatever thread the plugin used; must be thread-safe.
  virtual void on_error(Callback /*where*/, std::string_view /*message*/) {}
  virtual void on_debug(Callback /*where*/, std::string_view /*message*/) {}
  virtual void on_incident(const Incident& /*incident*/) {}

  // Before and after each callback, when ServerOptions::trace is set.
  virtual void on_call(Callback /*callback*/) {}
  virtual void on_return(Callback /*callback*/, long long /*value*/) {}
};

}  // namespace nbdcheck
