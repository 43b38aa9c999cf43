// One connection's state, and what its files share.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <tl/expected.hpp>

#include "nbdcheck/connection.hpp"
#include "server/gate.hpp"
#include "server/interned.hpp"
#include "server/server_impl.hpp"

namespace nbdcheck {

struct Connection::Impl {
  // Waits for the connection lock where the model has one.
  Impl(Server::Impl& its_server, int its_number);
  ~Impl();
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  // --- handshake.cpp, capabilities.cpp ---------------------------------------
  // .open and what nbdkit asks next, in its order; the handle is open after it.
  tl::expected<ExportInfo, Failure> negotiate(std::string_view export_name);
  tl::expected<std::string, Failure> final_name(std::string_view export_name);
  // nullptr: the plugin's answer is not usable.
  const std::string* default_export();
  tl::expected<void, Failure> ask_capabilities(ExportInfo& answer);
  tl::expected<bool, Failure> ask_bool(Callback callback, int (*function)(void*), bool absent);
  tl::expected<std::optional<BlockSize>, Failure> ask_block_size();
  std::optional<std::string> ask_description();
  void close_handle();
  void finish();

  // --- validate.cpp ----------------------------------------------------------
  // 0, or the errno of a request the plugin does not get to see.
  [[nodiscard]] int validate(Command command, std::uint64_t count, std::uint64_t offset,
                             std::uint32_t flags) const;
  [[nodiscard]] int refuse(Command command, std::uint64_t count, std::uint64_t offset,
                           std::uint32_t flags) const;

  // --- requests.cpp, zero.cpp: 0 or an errno ---------------------------------
  int plugin_pread(void* buffer, std::uint32_t count, std::uint64_t offset);
  int plugin_pwrite(const void* buffer, std::uint32_t count, std::uint64_t offset,
                    std::uint32_t flags);
  int plugin_flush();
  int plugin_trim(std::uint32_t count, std::uint64_t offset, std::uint32_t flags);
  int plugin_zero(std::uint32_t count, std::uint64_t offset, std::uint32_t flags);
  int plugin_cache(std::uint32_t count, std::uint64_t offset);
  int plugin_extents(std::uint32_t count, std::uint64_t offset, std::uint32_t flags,
                     ExtentList& list, std::uint64_t room = ~std::uint64_t{0});
  int zero_by_pwrite(std::uint32_t count, std::uint64_t offset, std::uint32_t flags);
  int cache_by_pread(std::uint32_t count, std::uint64_t offset);
  // Turns a data callback's return value into 0 or the errno for the client.
  int outcome(Callback callback, int value) {
    if (value == 0 && !this_thread.error_was_set) [[likely]] {
      return 0;
    }
    return judge_outcome(callback, value);
  }
  int judge_outcome(Callback callback, int value);

  // --- buffers.cpp -----------------------------------------------------------
  int guarded_pread(std::span<std::byte> destination, std::uint64_t offset);
  int guarded_pwrite(std::span<const std::byte> source, std::uint64_t offset, std::uint32_t flags);

  Server::Impl& server;
  const PluginStruct* const table;
  const int number;
  Gate::ConnectionLock connection_lock;
  std::mutex request_mutex;

  void* handle = nullptr;
  bool open = false;
  bool finished = false;
  bool dropped = false;  // the handshake ended it: nbdkit hangs up
  bool listed = false;
  bool default_asked = false;
  std::optional<std::string> default_name;
  const char* name_for_plugin = nullptr;  // interned; null before it is known
  ExportInfo info;
  BufferMode buffer_mode = BufferMode::direct;
  std::atomic<bool> refuse_requests{false};  // nbdkit_disconnect
  InternedStrings interned;
};

}  // namespace nbdcheck
