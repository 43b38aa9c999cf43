#include "execute/observed_target.hpp"

#include <algorithm>
#include <cerrno>
#include <utility>

namespace nbdcheck {

std::vector<Extent> map_of_request(const ExtentList& list, std::uint64_t offset,
                                   std::uint32_t count, std::uint32_t flags) {
  std::vector<Extent> map;
  if (list.extents().empty()) return map;
  std::uint64_t at = offset;
  const std::uint64_t end = offset + count;
  for (const BlockDescriptor& descriptor :
       to_block_descriptors(list, offset, count, (flags & command_flag::req_one) != 0)) {
    const std::uint64_t length = std::min<std::uint64_t>(descriptor.length, end - at);
    if (length == 0) break;
    if (!map.empty() && map.back().type == descriptor.status)
      map.back().length += length;
    else
      map.push_back({at, length, descriptor.status});
    at += length;
  }
  return map;
}

class ObservedTarget::Observed final : public Session {
 public:
  Observed(std::unique_ptr<Session> inner, Observation& to) : inner_(std::move(inner)), to_(to) {}

  [[nodiscard]] const ExportInfo& info() const override { return inner_->info(); }
  Reply read(std::span<std::byte> buffer, std::uint64_t offset, std::uint32_t flags) override {
    const bool first = !to_.any;
    const Reply reply = note(inner_->read(buffer, offset, flags), flags);
    if (first && reply.ok()) to_.data.assign(buffer.begin(), buffer.end());
    return reply;
  }
  Reply write(std::span<const std::byte> buffer, std::uint64_t offset,
              std::uint32_t flags) override {
    return note(inner_->write(buffer, offset, flags), flags);
  }
  Reply flush() override { return note(inner_->flush(), 0); }
  Reply trim(std::uint32_t count, std::uint64_t offset, std::uint32_t flags) override {
    return note(inner_->trim(count, offset, flags), flags);
  }
  Reply zero(std::uint32_t count, std::uint64_t offset, std::uint32_t flags) override {
    return note(inner_->zero(count, offset, flags), flags);
  }
  Reply cache(std::uint32_t count, std::uint64_t offset) override {
    return note(inner_->cache(count, offset), 0);
  }
  Reply extents(std::uint32_t count, std::uint64_t offset, std::uint32_t flags,
                ExtentList& list) override {
    const bool first = !to_.any;
    ExtentList whole(offset, inner_->info().size);
    const Reply reply = note(inner_->extents(count, offset, flags, whole), flags);
    if (!reply.ok()) return reply;
    const auto map = map_of_request(whole, offset, count, flags);
    for (const Extent& extent : map) list.add(extent.offset, extent.length, extent.type);
    if (first) to_.map = map;
    return reply;
  }

 private:
  Reply note(Reply reply, std::uint32_t flags) {
    // A connection that is lost has no reply to map.
    const bool lost = reply.error == ENOTCONN && !reply.reached_plugin;
    if (!lost) reply.error = wire_error(reply.error, flags);
    if (!to_.any) {
      to_.any = true;
      to_.error = reply.error;
      to_.reached_plugin = reply.reached_plugin;
    }
    return reply;
  }

  std::unique_ptr<Session> inner_;
  Observation& to_;
};

tl::expected<std::unique_ptr<Session>, Failure> ObservedTarget::open(std::string_view export_name) {
  auto session = inner_.open(export_name);
  if (!session) return tl::unexpected(std::move(session.error()));
  return std::make_unique<Observed>(std::move(*session), observation_);
}

}  // namespace nbdcheck
