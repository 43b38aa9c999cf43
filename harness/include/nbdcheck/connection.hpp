// One client connection of the in-process server: handshake, requests, close.
// Rules of nbdkit server/connections.c, protocol.c, backend.c and plugins.c:
// validation before the plugin sees anything, capabilities asked once and
// cached, FUA, zero and cache emulation, errno rules.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <vector>

#include "nbdcheck/abi.hpp"
#include "nbdcheck/exports.hpp"
#include "nbdcheck/extents.hpp"
#include "nbdcheck/types.hpp"

namespace nbdcheck {

class Server;

struct BlockSize {
  std::uint32_t minimum = 0;  // all 0: the plugin gave no information
  std::uint32_t preferred = 0;
  std::uint32_t maximum = 0;
};

// What a client learns in the handshake, after defaults and normalisation
// (nbdkit-plugin(3) ".can_write" and following).
struct ExportInfo {
  std::string name;  // final name: the default is resolved
  std::optional<std::string> description;
  std::uint64_t size = 0;
  std::optional<BlockSize> block_size;  // absent: not asked, or 0,0,0
  bool can_write = false;
  bool can_flush = false;
  bool rotational = false;
  bool can_trim = false;
  ZeroMode zero = zero_none;  // NBD_FLAG_SEND_WRITE_ZEROES = zero != none
  bool can_fast_zero = false;
  FuaMode fua = fua_none;
  bool multi_conn = false;             // what the plugin says
  bool advertises_multi_conn = false;  // and the thread model allows
  CacheMode cache = cache_none;
  bool can_extents = false;  // false: everything is reported allocated
};

// How the server hands buffers to .pread and .pwrite.
enum class BufferMode : std::uint8_t {
  direct,       // the caller's own buffer
  guarded,      // exact size, 16-byte aligned start, guard pages, poisoned,
                // read-only for pwrite, inaccessible after the callback
  guarded_odd,  // the same, ending exactly at the guard page (any alignment)
};

class Connection {
 public:
  ~Connection();  // closes if still open
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // --- handshake -----------------------------------------------------------
  // NBD_OPT_LIST.  Without .list_exports: the default export's name alone.
  tl::expected<ExportList, Failure> list_exports();
  // NBD_OPT_INFO: the whole open ... can_* sequence, then close.
  tl::expected<ExportInfo, Failure> info(std::string_view export_name);
  // NBD_OPT_GO.  After a failure open may be tried again.
  tl::expected<ExportInfo, Failure> open(std::string_view export_name);

  [[nodiscard]] bool is_open() const;
  [[nodiscard]] const ExportInfo& export_info() const;  // REQUIRES: is_open()

  // --- requests; REQUIRES: is_open() ---------------------------------------
  // Flags are command_flag bits.  Reply::error follows nbdkit's validation
  // order, emulations and errno rules; see also wire_error().
  Reply read(std::span<std::byte> buffer, std::uint64_t offset, std::uint32_t flags = 0);
  Reply write(std::span<const std::byte> buffer, std::uint64_t offset, std::uint32_t flags = 0);
  Reply flush(std::uint32_t flags = 0);
  Reply trim(std::uint32_t count, std::uint64_t offset, std::uint32_t flags = 0);
  Reply zero(std::uint32_t count, std::uint64_t offset, std::uint32_t flags = 0);
  Reply cache(std::uint32_t count, std::uint64_t offset, std::uint32_t flags = 0);
  // On success `list` holds what the plugin gave, from `offset` on, at least
  // one extent; use to_block_descriptors() for what goes over the wire.
  Reply extents(std::uint32_t count, std::uint64_t offset, std::uint32_t flags, ExtentList& list);
  // The same with little memory: nbdkit_add_extent succeeds `room` times and then
  // fails.  ENOMEM also where .extents takes no notice of that.
  Reply extents_without_memory(std::uint32_t count, std::uint64_t offset, std::uint64_t room);

  void set_buffer_mode(BufferMode mode);

  // --- the end -------------------------------------------------------------
  // Finalize and .close (not called when the server is shutting down);
  // strings interned for the connection are poisoned and freed.
  void close();

  // The plugin's own handle, for checks that call a callback out of turn.
  [[nodiscard]] void* handle() const;
  [[nodiscard]] int number() const;  // 1, 2, ... in order of acceptance

  struct Impl;

 private:
  friend class Server;
  explicit Connection(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace nbdcheck
