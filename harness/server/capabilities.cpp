// What nbdkit asks of a newly opened handle, once, and what it makes of the
// answers: nbdkit-plugin(3) ".can_write" and following; nbdkit server/plugins.c,
// server/backend.c.
#include <fmt/format.h>

#include <bit>

#include "server/call.hpp"

namespace nbdcheck {

tl::expected<bool, Failure> Connection::Impl::ask_bool(Callback callback, int (*function)(void*),
                                                       bool absent) {
  if (function == nullptr) return absent;
  const int value = invoke(server, callback, [&] { return function(handle); });
  if (value == -1) {
    return tl::unexpected(server.failure(callback, fmt::format(".{} returned -1", name(callback))));
  }
  if (value != 0 && value != 1) {
    server.report(IncidentKind::bool_value, callback,
                  fmt::format(".{} returned {}, not 0, 1 or -1: nbdkit takes it as true",
                              name(callback), value));
  }
  return value != 0;
}

namespace {

// .can_fua and .can_cache: 0, 1, 2 or -1.
tl::expected<int, Failure> ask_mode(Connection::Impl& connection, Callback callback,
                                    int (*function)(void*), IncidentKind bad_value) {
  Server::Impl& server = connection.server;
  const int value = invoke(server, callback, [&] { return function(connection.handle); });
  if (value == -1) {
    return tl::unexpected(server.failure(callback, fmt::format(".{} returned -1", name(callback))));
  }
  if (value < -1 || value > 2) {
    server.report(bad_value, callback,
                  fmt::format(".{} returned {}, not one of -1 to 2{}", name(callback), value,
                              value < -1 ? ": nbdkit aborts when it is used" : ""));
  }
  return value;
}

tl::expected<FuaMode, Failure> ask_fua(Connection::Impl& connection) {
  const PluginStruct& table = *connection.table;
  const bool has_flush = table.flush != nullptr || table._flush_v1 != nullptr;
  if (table.can_fua == nullptr) return has_flush ? fua_emulate : fua_none;
  const auto value =
      ask_mode(connection, Callback::can_fua, table.can_fua, IncidentKind::fua_value);
  if (!value) return tl::unexpected(value.error());
  if (*value <= 0) return fua_none;
  // Version 1 callbacks have no flags to pass it by.
  return *value == fua_native && table._api_version != 1 ? fua_native : fua_emulate;
}

tl::expected<CacheMode, Failure> ask_cache(Connection::Impl& connection) {
  const PluginStruct& table = *connection.table;
  if (table.can_cache == nullptr) return table.cache != nullptr ? cache_native : cache_none;
  const auto value =
      ask_mode(connection, Callback::can_cache, table.can_cache, IncidentKind::cache_value);
  if (!value) return tl::unexpected(value.error());
  if (*value <= 0) return cache_none;
  return *value == cache_emulate ? cache_emulate : cache_native;
}

}  // namespace

tl::expected<void, Failure> Connection::Impl::ask_capabilities(ExportInfo& answer) {
  const auto store = [](auto& destination, auto&& value) -> std::optional<Failure> {
    if (!value) return std::move(value.error());
    destination = *value;
    return std::nullopt;
  };
  const auto announced = [&](Callback callback, Callback needed, bool present) {
    if (present) return;
    server.report(IncidentKind::missing_callback, callback,
                  fmt::format(".{} said yes, but there is no .{}", name(callback), name(needed)));
  };
  const bool has_pwrite = table->pwrite != nullptr || table->_pwrite_v1 != nullptr;
  const bool has_flush = table->flush != nullptr || table->_flush_v1 != nullptr;
  const bool has_trim = table->trim != nullptr || table->_trim_v1 != nullptr;
  const bool has_zero = table->zero != nullptr || table->_zero_v1 != nullptr;

  // nbdkit's order.  With -r, or when the plugin cannot write, whatever
  // changes data is not even asked about.
  if (!server.options.readonly) {
    if (auto bad =
            store(answer.can_write, ask_bool(Callback::can_write, table->can_write, has_pwrite))) {
      return tl::unexpected(std::move(*bad));
    }
    if (answer.can_write) announced(Callback::can_write, Callback::pwrite, has_pwrite);
  }
  if (answer.can_write) {
    // WRITE_ZEROES is offered to every writer: without .zero, through .pwrite.
    bool native = false;
    if (auto bad = store(native, ask_bool(Callback::can_zero, table->can_zero, has_zero))) {
      return tl::unexpected(std::move(*bad));
    }
    if (native) announced(Callback::can_zero, Callback::zero, has_zero);
    answer.zero = native ? zero_native : zero_emulate;

    // The manual promises fast zeroes also when .can_zero says no; the code
    // offers them only without .zero.
    if (auto bad = store(
            answer.can_fast_zero,
            ask_bool(Callback::can_fast_zero, table->can_fast_zero, table->zero == nullptr))) {
      return tl::unexpected(std::move(*bad));
    }
    if (auto bad =
            store(answer.can_trim, ask_bool(Callback::can_trim, table->can_trim, has_trim))) {
      return tl::unexpected(std::move(*bad));
    }
    if (answer.can_trim) announced(Callback::can_trim, Callback::trim, has_trim);
    if (auto bad = store(answer.fua, ask_fua(*this))) return tl::unexpected(std::move(*bad));
  }
  if (auto bad =
          store(answer.can_flush, ask_bool(Callback::can_flush, table->can_flush, has_flush))) {
    return tl::unexpected(std::move(*bad));
  }
  if (answer.can_flush) announced(Callback::can_flush, Callback::flush, has_flush);
  if (auto bad = store(answer.rotational,
                       ask_bool(Callback::is_rotational, table->is_rotational, false))) {
    return tl::unexpected(std::move(*bad));
  }
  if (auto bad = store(answer.multi_conn,
                       ask_bool(Callback::can_multi_conn, table->can_multi_conn, false))) {
    return tl::unexpected(std::move(*bad));
  }
  answer.advertises_multi_conn =
      answer.multi_conn && server.gate.model() > ThreadModel::serialize_connections;
  if (auto bad = store(answer.cache, ask_cache(*this))) return tl::unexpected(std::move(*bad));
  if (table->can_cache != nullptr && answer.cache == cache_native) {
    announced(Callback::can_cache, Callback::cache, table->cache != nullptr);
  }
  if (auto bad = store(answer.can_extents, ask_bool(Callback::can_extents, table->can_extents,
                                                    table->extents != nullptr))) {
    return tl::unexpected(std::move(*bad));
  }
  if (answer.can_extents) {
    announced(Callback::can_extents, Callback::extents, table->extents != nullptr);
  }
  return {};
}

namespace {

// What nbdkit checks, in its order; nullptr when the values will do.
const char* block_size_fault(const BlockSize& size) {
  constexpr std::uint32_t largest_minimum = 65536;
  constexpr std::uint32_t smallest_preferred = 512;
  constexpr std::uint32_t largest_preferred = 32U << 20;
  constexpr std::uint32_t unlimited = 0xffffffff;
  if (size.minimum < 1 || size.minimum > largest_minimum) return "minimum outside 1 to 65536";
  if (!std::has_single_bit(size.minimum)) return "minimum is no power of 2";
  if (size.preferred < smallest_preferred || size.preferred > largest_preferred) {
    return "preferred outside 512 to 32M";
  }
  if (!std::has_single_bit(size.preferred)) return "preferred is no power of 2";
  if (size.minimum > size.preferred) return "minimum above preferred";
  if (size.preferred > size.maximum) return "preferred above maximum";
  if (size.maximum != unlimited && size.maximum % size.minimum != 0) {
    return "maximum is no multiple of minimum";
  }
  return nullptr;
}

bool any_left(const BlockSize& size, std::uint32_t garbage) {
  return size.minimum == garbage || size.preferred == garbage || size.maximum == garbage;
}

}  // namespace

// nbdkit hands in uninitialised variables.  An output that still holds the
// garbage it came with is asked for again with other garbage, as it might by
// chance be the answer.
tl::expected<std::optional<BlockSize>, Failure> Connection::Impl::ask_block_size() {
  if (table->block_size == nullptr) return std::nullopt;
  constexpr std::uint32_t first_garbage = 0xa5c3f1e7;
  constexpr std::uint32_t second_garbage = 0x5b9d7e33;
  const auto ask = [&](std::uint32_t garbage, BlockSize& size) {
    size = {garbage, garbage, garbage};
    return invoke(server, Callback::block_size, [&] {
      return table->block_size(handle, &size.minimum, &size.preferred, &size.maximum);
    });
  };
  BlockSize size;
  const int result = ask(first_garbage, size);
  if (!server.succeeded(Callback::block_size, result)) {
    return tl::unexpected(server.failure(Callback::block_size, ".block_size returned -1"));
  }
  if (any_left(size, first_garbage) && ask(second_garbage, size) != -1 &&
      any_left(size, second_garbage)) {
    server.report(IncidentKind::block_size_unset, Callback::block_size,
                  ".block_size returned 0 without setting all of minimum, preferred and maximum; "
                  "they are not initialised when it is called");
    return std::nullopt;
  }
  if (size.minimum == 0 && size.preferred == 0 && size.maximum == 0) return std::nullopt;
  if (const char* fault = block_size_fault(size)) {
    const std::string text =
        fmt::format(".block_size gave minimum {}, preferred {}, maximum {}: {}", size.minimum,
                    size.preferred, size.maximum, fault);
    server.report(IncidentKind::block_size_invalid, Callback::block_size, text);
    return tl::unexpected(Failure{.where = Callback::block_size, .message = text, .error = EINVAL});
  }
  return size;
}

}  // namespace nbdcheck
