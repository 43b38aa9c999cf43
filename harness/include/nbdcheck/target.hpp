// Where a plan runs: the plugin in this process, the real nbdkit, or the
// reference disk.  One small interface, so that any plan runs on any of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <tl/expected.hpp>

#include "nbdcheck/connection.hpp"

namespace nbdcheck {

// One open export.  Calls run on the calling thread and end when the reply is
// there.
class Session {
 public:
  virtual ~Session() = default;  // closes

  [[nodiscard]] virtual const ExportInfo& info() const = 0;
  virtual Reply read(std::span<std::byte> buffer, std::uint64_t offset, std::uint32_t flags) = 0;
  virtual Reply write(std::span<const std::byte> buffer, std::uint64_t offset,
                      std::uint32_t flags) = 0;
  virtual Reply flush() = 0;
  virtual Reply trim(std::uint32_t count, std::uint64_t offset, std::uint32_t flags) = 0;
  virtual Reply zero(std::uint32_t count, std::uint64_t offset, std::uint32_t flags) = 0;
  virtual Reply cache(std::uint32_t count, std::uint64_t offset) = 0;
  virtual Reply extents(std::uint32_t count, std::uint64_t offset, std::uint32_t flags,
                        ExtentList& list) = 0;
  // Only the in-process target has buffers to choose; others ignore it.
  virtual void set_buffer_mode(BufferMode) {}
};

class Target {
 public:
  virtual ~Target() = default;
  virtual tl::expected<std::unique_ptr<Session>, Failure> open(std::string_view export_name) = 0;
};

// The plugin in this process, through a started server.
class InProcessTarget final : public Target {
 public:
  explicit InProcessTarget(Server& server) : server_(server) {}
  tl::expected<std::unique_ptr<Session>, Failure> open(std::string_view export_name) override;

 private:
  Server& server_;
};

}  // namespace nbdcheck
