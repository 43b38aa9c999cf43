// Requests, and how they reach the plugin: FUA through .flush, caching through
// .pread, version 1 callbacks, and the errno a failure comes to.
// nbdkit-plugin(3) ".can_fua", ".can_cache", "Error handling"; nbdkit
// server/plugins.c.
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "server/buffers.hpp"
#include "server/call.hpp"

namespace nbdcheck {

// --- replies -----------------------------------------------------------------

namespace {

// Everything between a request and its reply.
template <typename Perform>
inline Reply perform(Connection::Impl& connection, Command command, std::uint64_t count,
                     std::uint64_t offset, std::uint32_t flags, Perform&& perform_it) {
  if (const int error = connection.validate(command, count, offset, flags)) {
    return {.error = error, .reached_plugin = false};
  }
  const ThreadScope scope(connection.server, &connection, true);
  const Gate::RequestLock lock(connection.server.gate, connection.request_mutex);
  const int error = perform_it();
  return {.error = error, .reached_plugin = this_thread.reached_plugin};
}

std::uint32_t fua_of(std::uint32_t flags) {
  return (flags & command_flag::fua) != 0 ? plugin_flag::fua : 0;
}

}  // namespace

Reply Connection::read(std::span<std::byte> buffer, std::uint64_t offset, std::uint32_t flags) {
  Impl& self = *impl_;
  return perform(self, Command::read, buffer.size(), offset, flags, [&] {
    if (self.buffer_mode != BufferMode::direct) return self.guarded_pread(buffer, offset);
    return self.plugin_pread(buffer.data(), static_cast<std::uint32_t>(buffer.size()), offset);
  });
}

Reply Connection::write(std::span<const std::byte> buffer, std::uint64_t offset,
                        std::uint32_t flags) {
  Impl& self = *impl_;
  return perform(self, Command::write, buffer.size(), offset, flags, [&] {
    if (self.buffer_mode != BufferMode::direct) {
      return self.guarded_pwrite(buffer, offset, fua_of(flags));
    }
    return self.plugin_pwrite(buffer.data(), static_cast<std::uint32_t>(buffer.size()), offset,
                              fua_of(flags));
  });
}

Reply Connection::flush(std::uint32_t flags) {
  Impl& self = *impl_;
  return perform(self, Command::flush, 0, 0, flags, [&] { return self.plugin_flush(); });
}

Reply Connection::trim(std::uint32_t count, std::uint64_t offset, std::uint32_t flags) {
  Impl& self = *impl_;
  return perform(self, Command::trim, count, offset, flags,
                 [&] { return self.plugin_trim(count, offset, fua_of(flags)); });
}

Reply Connection::zero(std::uint32_t count, std::uint64_t offset, std::uint32_t flags) {
  Impl& self = *impl_;
  return perform(self, Command::zero, count, offset, flags, [&] {
    std::uint32_t passed = fua_of(flags);
    if ((flags & command_flag::no_hole) == 0) passed |= plugin_flag::may_trim;
    if ((flags & command_flag::fast_zero) != 0) passed |= plugin_flag::fast_zero;
    return self.plugin_zero(count, offset, passed);
  });
}

Reply Connection::cache(std::uint32_t count, std::uint64_t offset, std::uint32_t flags) {
  Impl& self = *impl_;
  return perform(self, Command::cache, count, offset, flags,
                 [&] { return self.plugin_cache(count, offset); });
}

Reply Connection::extents(std::uint32_t count, std::uint64_t offset, std::uint32_t flags,
                          ExtentList& list) {
  Impl& self = *impl_;
  return perform(self, Command::extents, count, offset, flags, [&] {
    const bool one = (flags & command_flag::req_one) != 0;
    return self.plugin_extents(count, offset, one ? plugin_flag::req_one : 0, list);
  });
}

Reply Connection::extents_without_memory(std::uint32_t count, std::uint64_t offset,
                                         std::uint64_t room) {
  Impl& self = *impl_;
  return perform(self, Command::extents, count, offset, 0, [&] {
    ExtentList list(offset, self.info.size);
    return self.plugin_extents(count, offset, 0, list, room);
  });
}

// --- errors ------------------------------------------------------------------

namespace {

// Whether the client is told EINVAL for want of a better word (nbdkit
// server/protocol.c).  ENOTSUP from .zero has a meaning of its own; from .trim
// it is judged where trims are.
bool loses_meaning(Callback callback, int error) {
  if (::strerrorname_np(error) == nullptr || error == EINVAL || error == EOVERFLOW) return false;
  if (error == ENOTSUP || error == EOPNOTSUPP) {
    return callback != Callback::zero && callback != Callback::trim;
  }
  return wire_error(error, 0) == EINVAL;
}

}  // namespace

int Connection::Impl::judge_outcome(Callback callback, int value) {
  const ThreadContext& thread = this_thread;
  if (server.succeeded(callback, value)) {
    if (thread.error_was_set) {
      server.report(IncidentKind::errno_on_success, callback,
                    fmt::format(".{} called nbdkit_set_error({}) and then succeeded",
                                name(callback), thread.error));
    }
    return 0;
  }
  int error = thread.error;
  if (error == 0 && table->errno_is_preserved != 0) error = thread.returned_errno;
  if (error <= 0) {
    server.report(
        IncidentKind::no_errno, callback,
        fmt::format(".{} failed without an errno: the client is told EIO", name(callback)));
    error = EIO;
  }
  if (loses_meaning(callback, error)) {
    server.report(IncidentKind::errno_lost, callback,
                  fmt::format(".{} failed with {}, which NBD has no word for: the client is told "
                              "EINVAL, as if its request had been wrong",
                              name(callback), ::strerrorname_np(error)));
  }
  // Declining to zero is no failure: the server goes on by other means.
  const bool declined = callback == Callback::zero && (error == ENOTSUP || error == EOPNOTSUPP);
  if (!declined && !server.said_why()) {
    server.report(IncidentKind::no_error_message, callback,
                  fmt::format(".{} failed, but nbdkit_error was not called: nobody will know why",
                              name(callback)));
  }
  return error;
}

// --- the plugin --------------------------------------------------------------

int Connection::Impl::plugin_pread(void* buffer, std::uint32_t count, std::uint64_t offset) {
  const int result = invoke(server, Callback::pread, {count, offset, 0}, [&] {
    return table->pread != nullptr ? table->pread(handle, buffer, count, offset, 0)
                                   : table->_pread_v1(handle, buffer, count, offset);
  });
  return outcome(Callback::pread, result);
}

int Connection::Impl::plugin_pwrite(const void* buffer, std::uint32_t count, std::uint64_t offset,
                                    std::uint32_t flags) {
  if (table->pwrite == nullptr && table->_pwrite_v1 == nullptr) return EROFS;
  const bool flush_after = (flags & plugin_flag::fua) != 0 && info.fua != fua_native;
  if (flush_after) flags &= ~plugin_flag::fua;
  const int result = invoke(server, Callback::pwrite, {count, offset, flags}, [&] {
    return table->pwrite != nullptr ? table->pwrite(handle, buffer, count, offset, flags)
                                    : table->_pwrite_v1(handle, buffer, count, offset);
  });
  const int error = outcome(Callback::pwrite, result);
  return error == 0 && flush_after ? plugin_flush() : error;
}

int Connection::Impl::plugin_flush() {
  if (table->flush == nullptr && table->_flush_v1 == nullptr) {
    // Where .can_flush said that there is one, that has been reported.
    if (!info.can_flush) {
      server.report(IncidentKind::fua_without_flush, Callback::flush,
                    "a flush was needed, but there is no .flush; the request fails after the data "
                    "were written");
    }
    return EINVAL;
  }
  const int result = invoke(server, Callback::flush, [&] {
    return table->flush != nullptr ? table->flush(handle, 0) : table->_flush_v1(handle);
  });
  return outcome(Callback::flush, result);
}

int Connection::Impl::plugin_trim(std::uint32_t count, std::uint64_t offset, std::uint32_t flags) {
  if (table->trim == nullptr && table->_trim_v1 == nullptr) return EINVAL;
  const bool flush_after = (flags & plugin_flag::fua) != 0 && info.fua != fua_native;
  if (flush_after) flags &= ~plugin_flag::fua;
  const int result = invoke(server, Callback::trim, {count, offset, flags}, [&] {
    return table->trim != nullptr ? table->trim(handle, count, offset, flags)
                                  : table->_trim_v1(handle, count, offset);
  });
  const int error = outcome(Callback::trim, result);
  return error == 0 && flush_after ? plugin_flush() : error;
}

int Connection::Impl::plugin_cache(std::uint32_t count, std::uint64_t offset) {
  if (info.cache == cache_emulate) return cache_by_pread(count, offset);
  if (table->cache == nullptr) return 0;
  const int result = invoke(server, Callback::cache, {count, offset, 0},
                            [&] { return table->cache(handle, count, offset, 0); });
  return outcome(Callback::cache, result);
}

int Connection::Impl::cache_by_pread(std::uint32_t count, std::uint64_t offset) {
  const GuardedBuffer scratch(std::min(count, max_request_size), GuardedBuffer::Start::aligned);
  while (count > 0) {
    const std::uint32_t piece = std::min(count, max_request_size);
    if (const int error = plugin_pread(scratch.data(), piece, offset)) return error;
    count -= piece;
    offset += piece;
  }
  return 0;
}

int Connection::Impl::plugin_extents(std::uint32_t count, std::uint64_t offset, std::uint32_t flags,
                                     ExtentList& list, std::uint64_t room) {
  nbdkit_extents extents{ExtentList(offset, info.size)};
  extents.room = room;
  if (!info.can_extents) {
    extents.list.add(offset, count, 0);  // all of it allocated
    list = std::move(extents.list);
    return 0;
  }
  if (table->extents == nullptr) return EINVAL;
  this_thread.extents = &extents;
  const int result = invoke(server, Callback::extents, {count, offset, flags},
                            [&] { return table->extents(handle, count, offset, flags, &extents); });
  this_thread.extents = nullptr;
  if (extents.exhausted && result == 0) return ENOMEM;
  if (const int error = outcome(Callback::extents, result)) return error;
  if (extents.list.extents().empty()) {
    // What wrapped has been reported.
    if (!extents.wrapped) {
      server.report(IncidentKind::extent_none, Callback::extents,
                    fmt::format(".extents returned 0 without an extent at offset {}", offset));
    }
    return EINVAL;
  }
  list = std::move(extents.list);
  return 0;
}

}  // namespace nbdcheck
