#include <utility>

#include "nbdcheck/server.hpp"
#include "nbdcheck/target.hpp"

namespace nbdcheck {
namespace {

class InProcessSession final : public Session {
 public:
  explicit InProcessSession(std::unique_ptr<Connection> connection)
      : connection_(std::move(connection)) {}

  [[nodiscard]] const ExportInfo& info() const override { return connection_->export_info(); }
  Reply read(std::span<std::byte> buffer, std::uint64_t offset, std::uint32_t flags) override {
    return connection_->read(buffer, offset, flags);
  }
  Reply write(std::span<const std::byte> buffer, std::uint64_t offset,
              std::uint32_t flags) override {
    return connection_->write(buffer, offset, flags);
  }
  Reply flush() override { return connection_->flush(); }
  Reply trim(std::uint32_t count, std::uint64_t offset, std::uint32_t flags) override {
    return connection_->trim(count, offset, flags);
  }
  Reply zero(std::uint32_t count, std::uint64_t offset, std::uint32_t flags) override {
    return connection_->zero(count, offset, flags);
  }
  Reply cache(std::uint32_t count, std::uint64_t offset) override {
    return connection_->cache(count, offset);
  }
  Reply extents(std::uint32_t count, std::uint64_t offset, std::uint32_t flags,
                ExtentList& list) override {
    return connection_->extents(count, offset, flags, list);
  }
  void set_buffer_mode(BufferMode mode) override { connection_->set_buffer_mode(mode); }

 private:
  std::unique_ptr<Connection> connection_;
};

}  // namespace

tl::expected<std::unique_ptr<Session>, Failure> InProcessTarget::open(
    std::string_view export_name) {
  auto connection = server_.connect();
  if (!connection) return tl::unexpected(std::move(connection.error()));
  if (auto info = (*connection)->open(export_name); !info) {
    return tl::unexpected(std::move(info.error()));
  }
  return std::make_unique<InProcessSession>(std::move(*connection));
}

}  // namespace nbdcheck
