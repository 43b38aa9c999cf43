// The client library, loaded when it is first needed.  Linked to the program
// it would cost every child that never asks for it the time to start (it needs
// a TLS library), and would have to be installed.
#pragma once

#include <libnbd.h>

#include <string>
#include <tl/expected.hpp>

namespace nbdcheck {

// clang-format off
#define NBDCHECK_LIBNBD(X)                                                              \
  X(create) X(close) X(get_error) X(get_errno) X(get_version)                           \
  X(set_strict_mode) X(set_full_info) X(set_opt_mode) X(set_export_name)                \
  X(add_meta_context) X(connect_socket) X(opt_go) X(opt_list) X(opt_abort)              \
  X(aio_connect_socket) X(aio_opt_go) X(aio_opt_list) X(aio_opt_abort)                  \
  X(aio_is_ready) X(aio_is_negotiating) X(aio_is_connecting) X(aio_is_dead)             \
  X(aio_is_closed) X(aio_pread) X(aio_pwrite) X(aio_flush) X(aio_trim) X(aio_zero)      \
  X(aio_cache) X(aio_block_status) X(aio_disconnect) X(aio_command_completed)           \
  X(aio_peek_command_completed) X(aio_in_flight) X(poll)                                \
  X(aio_get_fd) X(aio_get_direction) X(aio_notify_read) X(aio_notify_write)            \
  X(get_size) X(get_block_size)  \
  X(get_canonical_export_name) X(get_export_description) X(is_read_only)                \
  X(is_rotational) X(can_flush) X(can_fua) X(can_trim) X(can_zero) X(can_fast_zero)     \
  X(can_multi_conn) X(can_cache) X(can_meta_context) X(can_df)                          \
  X(get_protocol) X(get_structured_replies_negotiated)
// clang-format on

inline constexpr int look_interval = 100;  // milliseconds between two signs of life while waiting

struct LibNbd {
#define NBDCHECK_MEMBER(name) decltype(&::nbd_##name) name = nullptr;
  NBDCHECK_LIBNBD(NBDCHECK_MEMBER)
#undef NBDCHECK_MEMBER

  [[nodiscard]] std::string version() const;
};

// Never unloaded.  The error is the dynamic linker's.
tl::expected<const LibNbd*, std::string> libnbd();

}  // namespace nbdcheck
