#include "nbdcheck/types.hpp"

#include <array>
#include <cerrno>
#include <cstddef>

namespace nbdcheck {
namespace {

constexpr std::array<std::string_view, static_cast<std::size_t>(Callback::count_)> callback_names{
    "none",
    "plugin_init",
    "load",
    "unload",
    "dump_plugin",
    "config",
    "config_complete",
    "thread_model",
    "get_ready",
    "after_fork",
    "cleanup",
    "preconnect",
    "list_exports",
    "default_export",
    "open",
    "close",
    "export_description",
    "get_size",
    "block_size",
    "can_write",
    "can_flush",
    "is_rotational",
    "can_trim",
    "can_zero",
    "can_fast_zero",
    "can_extents",
    "can_fua",
    "can_multi_conn",
    "can_cache",
    "pread",
    "pwrite",
    "flush",
    "trim",
    "zero",
    "extents",
    "cache",
};
static_assert(!callback_names.back().empty(), "every Callback has a name");

}  // namespace

std::string_view name(ThreadModel model) {
  switch (model) {
    case ThreadModel::serialize_connections:
      return "serialize_connections";
    case ThreadModel::serialize_all_requests:
      return "serialize_all_requests";
    case ThreadModel::serialize_requests:
      return "serialize_requests";
    case ThreadModel::parallel:
      return "parallel";
  }
  return "invalid";
}

std::string_view name(Callback callback) {
  const auto index = static_cast<std::size_t>(callback);
  return index < callback_names.size() ? callback_names[index] : "invalid";
}

std::string_view name(Command command) {
  switch (command) {
    case Command::read:
      return "read";
    case Command::write:
      return "write";
    case Command::flush:
      return "flush";
    case Command::trim:
      return "trim";
    case Command::cache:
      return "cache";
    case Command::zero:
      return "zero";
    case Command::extents:
      return "extents";
  }
  return "invalid";
}

// The NBD protocol knows a handful of errors ("Error values" of the NBD
// specification); nbdkit folds the rest into EINVAL.
int wire_error(int error, std::uint32_t flags) {
  switch (error) {
    case 0:
      return 0;
    case EPERM:
    case EROFS:
      return EPERM;
    case EIO:
      return EIO;
    case ENOMEM:
      return ENOMEM;
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
      return ENOSPC;
    case ESHUTDOWN:
      return ESHUTDOWN;
    case ENOTSUP:  // EOPNOTSUPP has the same value on Linux
      return (flags & command_flag::fast_zero) != 0 ? ENOTSUP : EINVAL;
    case EOVERFLOW:
      return (flags & command_flag::df) != 0 ? EOVERFLOW : EINVAL;
    default:
      return EINVAL;
  }
}

}  // namespace nbdcheck
