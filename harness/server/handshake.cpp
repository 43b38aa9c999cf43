// From .preconnect to .close: nbdkit-plugin(3) "Callback lifecycle", nbdkit
// server/connections.c and server/protocol-handshake-newstyle.c.
#include <fmt/format.h>

#include "server/call.hpp"
#include "server/freed_memory.hpp"

namespace nbdcheck {
namespace {

Failure not_usable(std::string message) {
  return {.where = Callback::none, .message = std::move(message), .error = ENOTCONN};
}

std::optional<Failure> check_usable(const Connection::Impl& connection) {
  if (connection.finished || connection.dropped) return not_usable("the connection has ended");
  if (connection.open) return not_usable("the connection has left the handshake");
  return std::nullopt;
}

// A string that the plugin returned to the function whose frame is `frame`:
// nbdkit-plugin(3) "STRING LIFETIME".
std::string returned_string(Server::Impl& server, Callback callback, const char* text,
                            const void* frame) {
  const char* gone = nullptr;
  std::string copy;
  if (in_ended_frame(text, frame)) {
    gone = "on the stack, in a variable of a function that has ended";
  } else {
    copy = server.options.guard_strings ? read_late(text) : std::string(text);
    if (copy.find(freed_memory_mark) != std::string::npos) gone = "in memory that was freed";
  }
  if (gone == nullptr) return copy;
  server.report(IncidentKind::string_freed, callback,
                fmt::format(".{} returned a string that lies {}", name(callback), gone));
  return {};
}

}  // namespace

tl::expected<std::unique_ptr<Connection>, Failure> Server::connect() {
  Impl& self = *impl_;
  if (self.stage != Impl::Stage::serving) {
    return tl::unexpected(not_usable("the server was not started"));
  }
  auto connection = std::make_unique<Connection::Impl>(
      self, self.connections_accepted.fetch_add(1, std::memory_order_relaxed) + 1);
  if (self.quit) {
    return tl::unexpected(Failure{.where = Callback::none,
                                  .message = "the server is shutting down (nbdkit_shutdown)",
                                  .error = ESHUTDOWN});
  }
  if (self.table->preconnect != nullptr) {
    const ThreadScope scope(self, connection.get());
    const int result = invoke(self, Callback::preconnect,
                              [&] { return self.table->preconnect(self.options.readonly); });
    if (!self.succeeded(Callback::preconnect, result)) {
      return tl::unexpected(self.failure(Callback::preconnect, ".preconnect returned -1"));
    }
  }
  return std::unique_ptr<Connection>(new Connection(std::move(connection)));
}

Connection::Impl::Impl(Server::Impl& its_server, int its_number)
    : server(its_server),
      table(its_server.table),
      number(its_number),
      connection_lock(its_server.gate),
      interned(its_server.options.guard_strings) {}

Connection::Impl::~Impl() = default;

Connection::Connection(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Connection::~Connection() { close(); }

bool Connection::is_open() const { return impl_->open; }
const ExportInfo& Connection::export_info() const { return impl_->info; }
void Connection::set_buffer_mode(BufferMode mode) { impl_->buffer_mode = mode; }
void* Connection::handle() const { return impl_->handle; }
int Connection::number() const { return impl_->number; }

// Cached for the life of the connection.
const std::string* Connection::Impl::default_export() {
  if (!default_asked) {
    default_asked = true;
    const char* text = "";
    if (table->default_export != nullptr) {
      text = invoke(server, Callback::default_export,
                    [&] { return table->default_export(server.options.readonly, 0); });
    }
    // NULL is a way to say that there is no default export.
    if (text != nullptr) {
      std::string name =
          returned_string(server, Callback::default_export, text, __builtin_frame_address(0));
      if (name.size() > ExportList::max_string) {
        server.report(
            IncidentKind::default_export_invalid, Callback::default_export,
            fmt::format(".default_export returned {} bytes, more than 4096", name.size()));
      } else {
        default_name = std::move(name);
      }
    }
  }
  return default_name ? &*default_name : nullptr;
}

tl::expected<ExportList, Failure> Connection::list_exports() {
  Impl& self = *impl_;
  if (auto failure = check_usable(self)) return tl::unexpected(std::move(*failure));
  if (self.listed) {
    return tl::unexpected(Failure{.where = Callback::none,
                                  .message = "the exports of a connection are listed only once",
                                  .error = EINVAL});
  }
  self.listed = true;
  const ThreadScope scope(self.server, &self);
  const Gate::RequestLock lock(self.server.gate, self.request_mutex);

  nbdkit_exports exports;
  if (self.table->list_exports == nullptr) {
    exports.list.use_default();
  } else {
    this_thread.exports = &exports;
    const int result = invoke(self.server, Callback::list_exports, [&] {
      return self.table->list_exports(self.server.options.readonly, 0, &exports);
    });
    this_thread.exports = nullptr;
    if (!self.server.succeeded(Callback::list_exports, result)) {
      return tl::unexpected(
          self.server.failure(Callback::list_exports, ".list_exports returned -1"));
    }
  }
  if (exports.list.wants_default()) {
    const std::string* name = self.default_export();
    // nbdkit refuses the whole list when the default finds no room in it.
    if (name != nullptr && exports.list.add(*name, "") != ExportList::Added::kept) {
      return tl::unexpected(self.server.failure(
          Callback::list_exports, "no room for the default export in a list of 10000"));
    }
  }
  return std::move(exports.list);
}

tl::expected<std::string, Failure> Connection::Impl::final_name(std::string_view export_name) {
  if (!export_name.empty()) {
    if (export_name.size() > ExportList::max_string) {
      return tl::unexpected(Failure{.where = Callback::none,
                                    .message = "export name is longer than 4096 bytes",
                                    .error = EINVAL});
    }
    return std::string(export_name);
  }
  if (const std::string* name = default_export()) return *name;
  return tl::unexpected(Failure{.where = Callback::default_export,
                                .message = "there is no default export",
                                .plugin_said_why = server.said_why()});
}

tl::expected<ExportInfo, Failure> Connection::Impl::negotiate(std::string_view export_name) {
  name_for_plugin = nullptr;
  auto final = final_name(export_name);
  if (!final) return tl::unexpected(std::move(final.error()));
  ExportInfo answer;
  answer.name = std::move(*final);
  bool raced = false;
  name_for_plugin = interned.add(answer.name, raced);

  const unsigned most = server.options.most_handles;
  if (server.handles++ >= most && most != 0) {
    --server.handles;
    return tl::unexpected(
        Failure{.where = Callback::open,
                .message = ".open was not called, as it would wait until another handle is closed",
                .plugin_said_why = true,
                .error = EBUSY});
  }
  handle = invoke(server, Callback::open, [&] { return table->open(server.options.readonly); });
  if (handle == nullptr) {
    --server.handles;
    return tl::unexpected(server.failure(Callback::open, ".open returned NULL"));
  }

  const std::int64_t size =
      invoke(server, Callback::get_size, [&] { return table->get_size(handle); });
  if (size < 0) {
    Failure failure =
        size == -1 ? server.failure(Callback::get_size, ".get_size returned -1")
                   : Failure{.where = Callback::get_size,
                             .message = fmt::format(".get_size returned {}, a negative size", size),
                             .plugin_said_why = server.said_why()};
    if (size < -1) {
      server.report(IncidentKind::size_value, Callback::get_size, failure.message);
    }
    close_handle();
    return tl::unexpected(std::move(failure));
  }
  answer.size = static_cast<std::uint64_t>(size);

  if (auto asked = ask_capabilities(answer); !asked) {
    close_handle();
    return tl::unexpected(std::move(asked.error()));
  }
  // In the order in which libnbd asks for them.
  auto block_size = ask_block_size();
  if (!block_size) {
    // The one negotiation error after which nbdkit hangs up.
    dropped = true;
    close_handle();
    return tl::unexpected(std::move(block_size.error()));
  }
  answer.block_size = *block_size;
  answer.description = ask_description();
  return answer;
}

std::optional<std::string> Connection::Impl::ask_description() {
  if (table->export_description == nullptr) return std::nullopt;
  const char* text = invoke(server, Callback::export_description,
                            [&] { return table->export_description(handle); });
  if (text == nullptr) return std::nullopt;
  std::string description =
      returned_string(server, Callback::export_description, text, __builtin_frame_address(0));
  if (description.size() > ExportList::max_string) {
    server.report(IncidentKind::description_invalid, Callback::export_description,
                  fmt::format(".export_description returned {} bytes, more than 4096: it is not "
                              "sent",
                              description.size()));
    return std::nullopt;
  }
  return description;
}

tl::expected<ExportInfo, Failure> Connection::info(std::string_view export_name) {
  Impl& self = *impl_;
  if (auto failure = check_usable(self)) return tl::unexpected(std::move(*failure));
  const ThreadScope scope(self.server, &self, true);
  const Gate::RequestLock lock(self.server.gate, self.request_mutex);
  auto answer = self.negotiate(export_name);
  if (answer) self.close_handle();
  return answer;
}

tl::expected<ExportInfo, Failure> Connection::open(std::string_view export_name) {
  Impl& self = *impl_;
  if (auto failure = check_usable(self)) return tl::unexpected(std::move(*failure));
  const ThreadScope scope(self.server, &self, true);
  const Gate::RequestLock lock(self.server.gate, self.request_mutex);
  auto answer = self.negotiate(export_name);
  if (answer) {
    self.info = *answer;
    self.open = true;
  }
  return answer;
}

// The manual says otherwise, but after a shutdown nbdkit closes no handles.
void Connection::Impl::close_handle() {
  if (handle != nullptr && !server.quit && table->close != nullptr) {
    invoke(server, Callback::close, [&] { table->close(handle); });
  }
  if (handle != nullptr) --server.handles;
  handle = nullptr;
}

void Connection::Impl::finish() {
  if (finished) return;
  finished = true;
  if (open) {
    const ThreadScope scope(server, this, true);
    const Gate::RequestLock lock(server.gate, request_mutex);
    close_handle();
    open = false;
  }
  name_for_plugin = nullptr;
  interned.clear();
}

// The connection lock goes with the state, after .close.
void Connection::close() {
  impl_->finish();
  impl_->connection_lock.release();
}

}  // namespace nbdcheck
