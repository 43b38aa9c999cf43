// Requests that the plugin does not get to see, and the error they get.  The
// order of the checks shows in that error: nbdkit server/protocol.c,
// validate_request.
#include <cerrno>

#include "server/connection_impl.hpp"

namespace nbdcheck {
namespace {

constexpr std::uint32_t known_flags = command_flag::fua | command_flag::no_hole | command_flag::df |
                                      command_flag::req_one | command_flag::fast_zero;

bool changes_data(Command command) {
  return command == Command::write || command == Command::trim || command == Command::zero;
}

bool flags_fit(Command command, std::uint32_t flags) {
  if ((flags & ~known_flags) != 0) return false;
  if ((flags & command_flag::no_hole) != 0 && command != Command::zero) return false;
  if ((flags & command_flag::fast_zero) != 0 && command != Command::zero) return false;
  if ((flags & command_flag::df) != 0 && command != Command::read) return false;
  if ((flags & command_flag::req_one) != 0 && command != Command::extents) return false;
  return true;
}

}  // namespace

int Connection::Impl::refuse(Command command, std::uint64_t count, std::uint64_t offset,
                             std::uint32_t flags) const {
  if (!info.can_write && changes_data(command)) return EROFS;

  if (command != Command::flush &&
      (count == 0 || offset > info.size || count > info.size - offset)) {
    return command == Command::write || command == Command::zero ? ENOSPC : EINVAL;
  }

  if (!flags_fit(command, flags)) return EINVAL;
  // Once advertised, FUA is accepted with every command and ignored by some.
  if ((flags & command_flag::fua) != 0 && info.fua == fua_none) return EINVAL;
  // nbdkit forgets this one and stops on an assertion later.
  if ((flags & command_flag::fast_zero) != 0 && !info.can_fast_zero) return EINVAL;

  if ((command == Command::read || command == Command::write) && count > max_request_size) {
    return ENOMEM;
  }

  if (command == Command::flush && !info.can_flush) return EINVAL;
  if (command == Command::trim && !info.can_trim) return EINVAL;
  if (command == Command::zero && info.zero == zero_none) return EINVAL;
  if (command == Command::cache && info.cache == cache_none) return EINVAL;
  return 0;
}

int Connection::Impl::validate(Command command, std::uint64_t count, std::uint64_t offset,
                               std::uint32_t flags) const {
  if (!open) return ENOTCONN;
  if (const int error = refuse(command, count, offset, flags)) return error;
  if (server.quit.load(std::memory_order_relaxed) ||
      refuse_requests.load(std::memory_order_relaxed)) {
    return ESHUTDOWN;
  }
  return 0;
}

}  // namespace nbdcheck
