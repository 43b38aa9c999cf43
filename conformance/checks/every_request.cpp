#include "checks/every_request.hpp"

#include <cstddef>

namespace nbdcheck {

std::vector<RequestKind> every_request(const Subject& subject) {
  const ExportInfo& info = subject.info;
  std::vector<RequestKind> kinds;
  const auto add = [&](bool possible, std::string_view name, bool modifies, auto send) {
    if (possible) kinds.push_back({name, modifies, std::move(send)});
  };
  add(true, "pread", false, [](Connection& connection, const Place& place) {
    std::vector<std::byte> buffer(place.count);
    return connection.read(buffer, place.offset);
  });
  add(info.can_extents, "extents", false, [](Connection& connection, const Place& place) {
    ExtentList list(place.offset, connection.export_info().size);
    return connection.extents(place.count, place.offset, command_flag::req_one, list);
  });
  add(info.cache == cache_native, "cache", false, [](Connection& connection, const Place& place) {
    return connection.cache(place.count, place.offset);
  });
  add(info.can_write, "pwrite", true, [](Connection& connection, const Place& place) {
    const std::vector<std::byte> buffer(place.count, std::byte{0x5A});
    return connection.write(buffer, place.offset);
  });
  add(info.can_write && info.zero == zero_native, "zero", true,
      [](Connection& connection, const Place& place) {
        return connection.zero(place.count, place.offset);
      });
  add(info.can_write && info.can_trim, "trim", true,
      [](Connection& connection, const Place& place) {
        return connection.trim(place.count, place.offset);
      });
  add(info.can_flush, "flush", true,
      [](Connection& connection, const Place&) { return connection.flush(); });
  return kinds;
}

}  // namespace nbdcheck
