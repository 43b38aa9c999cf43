// The words everything else is written in: thread models, callbacks, commands,
// flags and replies.  Plain values, no behaviour worth testing alone.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace nbdcheck {

// nbdkit-plugin(3) "Threads".  The order is the nbdkit order: a larger value
// permits more overlap.
enum class ThreadModel : int {
  serialize_connections = 0,
  serialize_all_requests = 1,
  serialize_requests = 2,
  parallel = 3,
};

// As `nbdkit --dump-plugin` prints it: "serialize_connections", ..., "parallel".
std::string_view name(ThreadModel model);

// Every function of `struct nbdkit_plugin`, plus plugin_init itself.
enum class Callback : std::uint8_t {
  none,
  plugin_init,
  load,
  unload,
  dump_plugin,
  config,
  config_complete,
  thread_model,
  get_ready,
  after_fork,
  cleanup,
  preconnect,
  list_exports,
  default_export,
  open,
  close,
  export_description,
  get_size,
  block_size,
  can_write,
  can_flush,
  is_rotational,
  can_trim,
  can_zero,
  can_fast_zero,
  can_extents,
  can_fua,
  can_multi_conn,
  can_cache,
  pread,
  pwrite,
  flush,
  trim,
  zero,
  extents,
  cache,
  count_,  // number of values, not a callback
};

// The field name, without the leading dot: "pread".
std::string_view name(Callback callback);

// The NBD commands a client can send, values as on the wire.
enum class Command : std::uint8_t {
  read = 0,
  write = 1,
  flush = 3,
  trim = 4,
  cache = 5,
  zero = 6,     // NBD_CMD_WRITE_ZEROES
  extents = 7,  // NBD_CMD_BLOCK_STATUS
};

std::string_view name(Command command);

// Command flags, values as on the wire (NBD_CMD_FLAG_*).
namespace command_flag {
inline constexpr std::uint32_t fua = 1U << 0;
inline constexpr std::uint32_t no_hole = 1U << 1;
inline constexpr std::uint32_t df = 1U << 2;
inline constexpr std::uint32_t req_one = 1U << 3;
inline constexpr std::uint32_t fast_zero = 1U << 4;
}  // namespace command_flag

// Largest READ or WRITE that nbdkit passes on: 64 MiB.  TRIM, WRITE_ZEROES,
// CACHE and BLOCK_STATUS have no such limit, their count is any uint32_t.
inline constexpr std::uint32_t max_request_size = 64U << 20;

// What a request came to.  `error` is 0 or an errno value *before* it is
// mapped for the wire; `wire_error()` maps it as nbdkit does.
struct Reply {
  int error = 0;
  bool reached_plugin = false;  // false: refused by the server itself

  [[nodiscard]] bool ok() const { return error == 0; }
};

// The errno the NBD client sees for `error` (nbdkit server/protocol.c,
// nbd_errno): EPERM/EROFS -> EPERM, EIO, ENOMEM, ENOSPC family -> ENOSPC,
// ESHUTDOWN; ENOTSUP only with FAST_ZERO, EOVERFLOW only with DF; all else
// EINVAL.  0 stays 0.
int wire_error(int error, std::uint32_t flags);

// Why a life-cycle step or a connection could not go on.
struct Failure {
  Callback where = Callback::none;  // none: the server's own decision
  std::string message;              // one line, for a person
  bool plugin_said_why = false;     // nbdkit_error was called during the step
  int error = 0;                    // errno where one is meaningful
};

}  // namespace nbdcheck
