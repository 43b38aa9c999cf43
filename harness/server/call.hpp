// The one way into the plugin: every callback is called through invoke(), which
// keeps the status page, the trace and the thread's record of the call.  It is
// on the path of every request, so it neither allocates nor locks.
#pragma once

#include <cxxabi.h>

#include <cerrno>
#include <cstdint>
#include <exception>
#include <type_traits>
#include <utility>

#include "nbdcheck/sandbox.hpp"
#include "server/connection_impl.hpp"
#include "server/server_impl.hpp"

namespace nbdcheck {

struct CallArguments {
  std::uint32_t count = 0;
  std::uint64_t offset = 0;
  std::uint32_t flags = 0;
};

inline void begin_call(Server::Impl& server, Callback callback, const CallArguments& arguments) {
  ThreadContext& thread = this_thread;
  CallSlot& slot = *thread.slot;
  slot.connection = thread.connection != nullptr ? thread.connection->number : 0;
  slot.count = arguments.count;
  slot.offset = arguments.offset;
  slot.flags = arguments.flags;
  slot.returned.store(0, std::memory_order_relaxed);
  slot.callback.store(static_cast<std::uint8_t>(callback), std::memory_order_relaxed);
  thread.callback = callback;
  thread.said_why = false;
  thread.error_was_set = false;
  thread.reached_plugin = true;
  thread.foreign_errors = server.foreign_errors.load(std::memory_order_relaxed);
  if (server.trace) [[unlikely]] {
    server.observer.on_call(callback);
  }
  // A stale errno must not pass for the plugin's own.
  errno = 0;
}

inline void end_call() {
  ThreadContext& thread = this_thread;
  thread.returned_errno = errno;
  thread.callback = Callback::none;
  CallSlot& slot = *thread.slot;
  slot.callback.store(static_cast<std::uint8_t>(Callback::none), std::memory_order_relaxed);
  slot.returned.store(1, std::memory_order_relaxed);
  // The plugin forked, and the child came back as well: it has nothing to do here.
  if (detail::ends_after_callback.load(std::memory_order_relaxed)) [[unlikely]]
    detail::end_forked_copy();
  slot.operations.store(slot.operations.load(std::memory_order_relaxed) + 1,
                        std::memory_order_relaxed);
}

// pthread_exit unwinds the stack with an exception of its own kind, through us.
// Any other one ends the process while the call is still in progress: nbdkit is
// written in C, and nobody there catches it either.
template <typename Function>
inline auto call_plugin(Function&& function) {
  try {
    return std::forward<Function>(function)();
  } catch (abi::__forced_unwind&) {
    thread_is_ending();
    throw;
  } catch (...) {
    std::terminate();  // says which exception it was
  }
}

template <typename Function>
inline auto invoke(Server::Impl& server, Callback callback, const CallArguments& arguments,
                   Function&& function) {
  begin_call(server, callback, arguments);
  if constexpr (std::is_void_v<decltype(function())>) {
    call_plugin(std::forward<Function>(function));
    end_call();
    if (server.trace) server.observer.on_return(callback, 0);
  } else {
    const auto result = call_plugin(std::forward<Function>(function));
    end_call();
    if (server.trace) [[unlikely]] {
      if constexpr (std::is_pointer_v<decltype(function())>) {
        server.observer.on_return(callback, reinterpret_cast<std::intptr_t>(result));
      } else {
        server.observer.on_return(callback, static_cast<long long>(result));
      }
    }
    return result;
  }
}

template <typename Function>
inline auto invoke(Server::Impl& server, Callback callback, Function&& function) {
  return invoke(server, callback, CallArguments{}, std::forward<Function>(function));
}

}  // namespace nbdcheck
