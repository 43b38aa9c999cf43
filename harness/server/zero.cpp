// NBD_CMD_WRITE_ZEROES: .zero where the plugin has it, else .pwrite of zeroes.
// nbdkit-plugin(3) ".zero" and ".can_fast_zero"; nbdkit server/plugins.c.
#include <algorithm>

#include "server/buffers.hpp"
#include "server/call.hpp"

namespace nbdcheck {

int Connection::Impl::plugin_zero(std::uint32_t count, std::uint64_t offset, std::uint32_t flags) {
  const bool flush_after = (flags & plugin_flag::fua) != 0 && info.fua != fua_native;
  if (flush_after) flags &= ~plugin_flag::fua;
  const bool fast = (flags & plugin_flag::fast_zero) != 0;

  int error = EOPNOTSUPP;
  if (info.zero == zero_native && table->zero != nullptr) {
    const int result = invoke(server, Callback::zero, {count, offset, flags},
                              [&] { return table->zero(handle, count, offset, flags); });
    error = outcome(Callback::zero, result);
  } else if (info.zero == zero_native && table->_zero_v1 != nullptr && !fast) {
    // Version 1 cannot be told to be fast, so it is not asked to.
    const std::uint32_t may_trim = flags & plugin_flag::may_trim;
    const int result = invoke(server, Callback::zero, {count, offset, may_trim}, [&] {
      return table->_zero_v1(handle, count, offset, may_trim != 0 ? 1 : 0);
    });
    error = outcome(Callback::zero, result);
  }

  const bool declined = error == EOPNOTSUPP || error == ENOTSUP;
  if (declined && fast) return EOPNOTSUPP;  // writing zeroes would not be fast
  if (declined) error = zero_by_pwrite(count, offset, flags & ~plugin_flag::may_trim);
  return error == 0 && flush_after ? plugin_flush() : error;
}

int Connection::Impl::zero_by_pwrite(std::uint32_t count, std::uint64_t offset,
                                     std::uint32_t flags) {
  this_thread.error = 0;
  while (count > 0) {
    const std::uint32_t piece = std::min(count, max_request_size);
    const void* zeroes = zero_block(piece, buffer_mode);
    const PublishedBuffer published(zeroes);
    if (const int error = plugin_pwrite(zeroes, piece, offset, flags)) return error;
    count -= piece;
    offset += piece;
  }
  return 0;
}

}  // namespace nbdcheck
