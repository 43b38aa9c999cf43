// One connection to the real nbdkit, through libnbd's asynchronous commands.
#include <fmt/format.h>
#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <deque>
#include <unordered_map>

#include "nbdcheck/nbdkit.hpp"
#include "nbdcheck/sandbox.hpp"
#include "nbdcheck/status_page.hpp"
#include "target/libnbd.hpp"

namespace nbdcheck {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;


struct CloseHandle {
  void operator()(nbd_handle* handle) const { (*libnbd())->close(handle); }
};
using Handle = std::unique_ptr<nbd_handle, CloseHandle>;

std::string words_and_free(char* text) {
  std::string copy(text == nullptr ? "" : text);
  std::free(text);
  return copy;
}

int note_export(void* list, const char* name, const char* description) {
  static_cast<std::vector<ListedExport>*>(list)->push_back({name, description});
  return 0;
}

}  // namespace

struct NbdkitSession::Impl {
  struct Waiting {
    std::uint64_t ticket = 0;
    Request request;
    // What BLOCK_STATUS answered; stays in place while libnbd knows its address.
    std::unique_ptr<std::vector<BlockDescriptor>> descriptors;
  };

  const LibNbd& lib = **libnbd();
  Handle handle;
  ExportInfo info;
  milliseconds limit{};
  std::string lost;
  std::uint64_t next_ticket = 1;
  std::unordered_map<std::int64_t, Waiting> waiting;  // by libnbd's cookie
  std::deque<Done> done;                              // not yet taken

  [[nodiscard]] std::string error() const {
    const char* const text = lib.get_error();
    return text == nullptr ? "unknown error" : text;
  }

  // Waits for something to happen; false: the connection is lost.
  bool wait(Clock::time_point end) {
    const auto now = Clock::now();
    if (now > end) {
      lose(fmt::format("no reply within {:.1f} s", std::chrono::duration<double>(limit).count()));
      return false;
    }
    status_page().heartbeat.fetch_add(1, std::memory_order_relaxed);
    if (lib.poll(handle.get(), look_interval) >= 0) return true;
    lose(error());
    return false;
  }

  // libnbd must let go of all buffers before the callers do.
  void lose(std::string why) {
    lost = std::move(why);
    handle.reset();
    for (auto& [cookie, command] : waiting) done.push_back({command.ticket, {ENOTCONN, false}});
    waiting.clear();
  }

  template <typename Condition>
  bool wait_until(Condition&& condition) {
    const auto end = Clock::now() + limit;
    while (!condition())
      if (!wait(end)) return false;
    return true;
  }

  // An orderly end, as far as that is possible, in a short time.
  void leave() {
    if (!handle) return;
    nbd_handle* const h = handle.get();
    const bool sent = lib.aio_is_negotiating(h) == 1 ? lib.aio_opt_abort(h) == 0
                      : lib.aio_is_ready(h) == 1     ? lib.aio_disconnect(h, 0) == 0
                                                     : false;
    limit = std::min(limit, milliseconds(2000));
    if (sent) wait_until([&] { return lib.aio_is_closed(h) == 1 || lib.aio_is_dead(h) == 1; });
  }

  tl::expected<void, Failure> connect(NbdkitProcess& process, std::string_view export_name);
  tl::expected<void, Failure> fail(NbdkitProcess& process, std::string message, int error_number);
  void read_info();

  std::int64_t send(const Request& request, Waiting& command);
  void finish(std::int64_t cookie);
  static void fill(ExtentList& list, const Request& request,
                   const std::vector<BlockDescriptor>& descriptors);
};

namespace {

int note_extents(void* to, const char* /*context*/, std::uint64_t /*offset*/,
                 std::uint32_t* entries, std::size_t size, int* /*error*/) {
  auto& list = *static_cast<std::vector<BlockDescriptor>*>(to);
  for (std::size_t i = 0; i + 1 < size; i += 2) list.push_back({entries[i], entries[i + 1]});
  return 0;
}

}  // namespace

tl::expected<void, Failure> NbdkitSession::Impl::fail(NbdkitProcess& process, std::string message,
                                                      int error_number) {
  handle.reset();
  if (const auto trouble = process.trouble()) message = trouble->message;
  return tl::unexpected(Failure{Callback::none, std::move(message), false, error_number});
}

tl::expected<void, Failure> NbdkitSession::Impl::connect(NbdkitProcess& process,
                                                         std::string_view export_name) {
  limit = std::chrono::duration_cast<milliseconds>(process.options().limit * time_scale());
  handle.reset(lib.create());
  nbd_handle* const h = handle.get();
  if (h == nullptr) return fail(process, error(), ENOMEM);
  // Requests that a well-behaved client would not make are the point.
  lib.set_strict_mode(h, 0);
  lib.set_full_info(h, true);
  lib.set_opt_mode(h, true);
  lib.add_meta_context(h, LIBNBD_CONTEXT_BASE_ALLOCATION);
  if (lib.set_export_name(h, std::string(export_name).c_str()) != 0)
    return fail(process, error(), lib.get_errno());
  const int socket = process.connect();
  if (socket < 0)
    return fail(process, fmt::format("cannot connect to nbdkit: {}", std::strerror(errno)), errno);
  if (lib.aio_connect_socket(h, socket) != 0) return fail(process, error(), lib.get_errno());
  if (!wait_until([&] { return lib.aio_is_connecting(h) == 0; }))
    return fail(process, lost, ENOTCONN);
  if (lib.aio_is_negotiating(h) != 1) return fail(process, error(), lib.get_errno());
  return {};
}

void NbdkitSession::Impl::read_info() {
  nbd_handle* const h = handle.get();
  const auto yes = [](int answer) { return answer == 1; };
  info.name = words_and_free(lib.get_canonical_export_name(h));
  if (char* const description = lib.get_export_description(h); description != nullptr)
    info.description = words_and_free(description);
  const std::int64_t size = lib.get_size(h);
  info.size = size < 0 ? 0 : static_cast<std::uint64_t>(size);
  const auto block = [&](int which) {
    const std::int64_t bytes = lib.get_block_size(h, which);
    return bytes < 0 ? 0U : static_cast<std::uint32_t>(bytes);
  };
  const BlockSize sizes{block(LIBNBD_SIZE_MINIMUM), block(LIBNBD_SIZE_PREFERRED),
                        block(LIBNBD_SIZE_MAXIMUM)};
  if (sizes.minimum != 0) info.block_size = sizes;
  info.can_write = !yes(lib.is_read_only(h));
  info.can_flush = yes(lib.can_flush(h));
  info.rotational = yes(lib.is_rotational(h));
  info.can_trim = yes(lib.can_trim(h));
  // How it is done behind is not to be seen from here.
  info.zero = yes(lib.can_zero(h)) ? zero_native : zero_none;
  info.can_fast_zero = yes(lib.can_fast_zero(h));
  info.fua = yes(lib.can_fua(h)) ? fua_native : fua_none;
  info.multi_conn = info.advertises_multi_conn = yes(lib.can_multi_conn(h));
  info.cache = yes(lib.can_cache(h)) ? cache_native : cache_none;
  info.can_extents = yes(lib.can_meta_context(h, LIBNBD_CONTEXT_BASE_ALLOCATION));
}

std::int64_t NbdkitSession::Impl::send(const Request& request, Waiting& command) {
  nbd_handle* const h = handle.get();
  const nbd_completion_callback none{};
  const std::uint32_t flags = request.flags;
  switch (request.command) {
    case Command::read:
      return lib.aio_pread(h, request.into.data(), request.into.size(), request.offset, none,
                           flags);
    case Command::write:
      return lib.aio_pwrite(h, request.data.data(), request.data.size(), request.offset, none,
                            flags);
    case Command::flush:
      return lib.aio_flush(h, none, flags);
    case Command::trim:
      return lib.aio_trim(h, request.count, request.offset, none, flags);
    case Command::zero:
      return lib.aio_zero(h, request.count, request.offset, none, flags);
    case Command::cache:
      return lib.aio_cache(h, request.count, request.offset, none, flags);
    case Command::extents:
      command.descriptors = std::make_unique<std::vector<BlockDescriptor>>();
      return lib.aio_block_status(h, request.count, request.offset,
                                  {note_extents, command.descriptors.get(), nullptr}, none, flags);
  }
  return -1;
}

// What lies behind the request is not compared by anybody: nbdkit sends more or
// less of it, version by version.
void NbdkitSession::Impl::fill(ExtentList& list, const Request& request,
                               const std::vector<BlockDescriptor>& descriptors) {
  std::uint64_t at = request.offset;
  const std::uint64_t end = request.offset + request.count;
  for (const BlockDescriptor& descriptor : descriptors) {
    const std::uint64_t length = std::min<std::uint64_t>(descriptor.length, end - at);
    if (length == 0) break;
    list.add(at, length, descriptor.status);
    at += length;
  }
}

void NbdkitSession::Impl::finish(std::int64_t cookie) {
  const auto found = waiting.find(cookie);
  if (found == waiting.end()) return;
  const Waiting command = std::move(found->second);
  waiting.erase(found);
  Reply reply{0, true};
  if (lib.aio_command_completed(handle.get(), static_cast<std::uint64_t>(cookie)) != 1) {
    reply.error = lib.get_errno();
    if (reply.error == 0) reply.error = EIO;
    // libnbd answers what the server no longer will.
    if (lib.aio_is_dead(handle.get()) == 1 || lib.aio_is_closed(handle.get()) == 1) {
      done.push_back({command.ticket, {ENOTCONN, false}});
      return lose("the server closed the connection");
    }
  } else if (command.descriptors != nullptr && command.request.list != nullptr) {
    fill(*command.request.list, command.request, *command.descriptors);
  }
  done.push_back({command.ticket, reply});
}

NbdkitSession::NbdkitSession(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

NbdkitSession::~NbdkitSession() {
  if (impl_->waiting.empty()) impl_->leave();
}

const ExportInfo& NbdkitSession::info() const { return impl_->info; }
std::size_t NbdkitSession::in_flight() const { return impl_->waiting.size(); }
const std::string& NbdkitSession::lost() const { return impl_->lost; }

std::uint64_t NbdkitSession::submit(const Request& request) {
  Impl& self = *impl_;
  const std::uint64_t ticket = self.next_ticket++;
  if (!self.handle) {
    self.done.push_back({ticket, {ENOTCONN, false}});
    return ticket;
  }
  // nbdkit up to now asserts that nobody asks for a fast zero that it did not
  // offer, and aborts.
  if ((request.flags & command_flag::fast_zero) != 0 && !self.info.can_fast_zero) {
    self.done.push_back({ticket, {EINVAL, false}});
    return ticket;
  }
  Impl::Waiting command{ticket, request, nullptr};
  const std::int64_t cookie = self.send(request, command);
  if (cookie < 0) {
    const int error = self.lib.get_errno();
    // Refused by libnbd, or the connection was lost meanwhile.
    if (self.lib.aio_is_ready(self.handle.get()) != 1 &&
        self.lib.aio_in_flight(self.handle.get()) <= 0)
      self.lose(self.error());
    self.done.push_back({ticket, {self.handle ? (error == 0 ? EINVAL : error) : ENOTCONN, false}});
    return ticket;
  }
  self.waiting.emplace(cookie, std::move(command));
  return ticket;
}

int NbdkitSession::descriptor() const {
  return impl_->handle ? impl_->lib.aio_get_fd(impl_->handle.get()) : -1;
}

short NbdkitSession::events() const {
  if (!impl_->handle) return 0;
  const unsigned direction = impl_->lib.aio_get_direction(impl_->handle.get());
  return static_cast<short>(((direction & LIBNBD_AIO_DIRECTION_READ) != 0 ? POLLIN : 0) |
                            ((direction & LIBNBD_AIO_DIRECTION_WRITE) != 0 ? POLLOUT : 0));
}

void NbdkitSession::handle(short happened) {
  Impl& self = *impl_;
  if (!self.handle || happened == 0) return;
  nbd_handle* const h = self.handle.get();
  const unsigned direction = self.lib.aio_get_direction(h);
  const bool reads = (direction & LIBNBD_AIO_DIRECTION_READ) != 0;
  const bool writes = (direction & LIBNBD_AIO_DIRECTION_WRITE) != 0;
  int done = 0;
  if (reads && (happened & (POLLIN | POLLHUP | POLLERR)) != 0)
    done = self.lib.aio_notify_read(h);
  else if (writes && (happened & (POLLOUT | POLLHUP | POLLERR)) != 0)
    done = self.lib.aio_notify_write(h);
  if (done != 0) self.lose(self.error());
  while (self.handle && !self.waiting.empty()) {
    const std::int64_t cookie = self.lib.aio_peek_command_completed(self.handle.get());
    if (cookie <= 0) break;
    self.finish(cookie);
  }
}

void NbdkitSession::give_up(std::string why) { impl_->lose(std::move(why)); }
milliseconds NbdkitSession::limit() const { return impl_->limit; }

std::optional<NbdkitSession::Done> NbdkitSession::take() {
  if (impl_->done.empty()) return std::nullopt;
  const Done first = impl_->done.front();
  impl_->done.pop_front();
  return first;
}

std::optional<NbdkitSession::Done> NbdkitSession::next() {
  Impl& self = *impl_;
  const auto end = Clock::now() + self.limit;
  while (self.done.empty()) {
    if (self.waiting.empty()) return std::nullopt;
    if (!self.handle) break;
    const std::int64_t cookie = self.lib.aio_peek_command_completed(self.handle.get());
    if (cookie > 0) {
      self.finish(cookie);
      break;
    }
    if (!self.wait(end)) break;
  }
  return take();
}

namespace {

// For the synchronous calls, which have one request in flight.
Reply perform(NbdkitSession& session, const NbdkitSession::Request& request) {
  const std::uint64_t ticket = session.submit(request);
  while (const auto done = session.next())
    if (done->ticket == ticket) return done->reply;
  return {ENOTCONN, false};
}

}  // namespace

Reply NbdkitSession::read(std::span<std::byte> buffer, std::uint64_t offset, std::uint32_t flags) {
  return perform(*this,
                 {.command = Command::read, .flags = flags, .offset = offset, .into = buffer});
}

Reply NbdkitSession::write(std::span<const std::byte> buffer, std::uint64_t offset,
                           std::uint32_t flags) {
  return perform(*this,
                 {.command = Command::write, .flags = flags, .offset = offset, .data = buffer});
}

Reply NbdkitSession::flush() { return perform(*this, {.command = Command::flush}); }

Reply NbdkitSession::trim(std::uint32_t count, std::uint64_t offset, std::uint32_t flags) {
  return perform(*this,
                 {.command = Command::trim, .flags = flags, .count = count, .offset = offset});
}

Reply NbdkitSession::zero(std::uint32_t count, std::uint64_t offset, std::uint32_t flags) {
  return perform(*this,
                 {.command = Command::zero, .flags = flags, .count = count, .offset = offset});
}

Reply NbdkitSession::cache(std::uint32_t count, std::uint64_t offset) {
  return perform(*this, {.command = Command::cache, .count = count, .offset = offset});
}

Reply NbdkitSession::extents(std::uint32_t count, std::uint64_t offset, std::uint32_t flags,
                             ExtentList& list) {
  return perform(*this, {.command = Command::extents,
                         .flags = flags,
                         .count = count,
                         .offset = offset,
                         .list = &list});
}

tl::expected<std::unique_ptr<NbdkitSession>, Failure> NbdkitTarget::connect(
    std::string_view export_name) {
  auto impl = std::make_unique<NbdkitSession::Impl>();
  if (auto connected = impl->connect(process_, export_name); !connected)
    return tl::unexpected(std::move(connected.error()));
  nbd_handle* const h = impl->handle.get();
  const LibNbd& lib = impl->lib;
  if (lib.aio_opt_go(h, nbd_completion_callback{}) != 0 ||
      !impl->wait_until([&] { return lib.aio_is_connecting(h) == 0; }) ||
      lib.aio_is_ready(h) != 1) {
    if (impl->handle && lib.aio_is_negotiating(h) == 1) {
      // The export was refused, and nbdkit would let us try another name.
      Failure refused{Callback::none, impl->error(), false, lib.get_errno()};
      impl->leave();
      return tl::unexpected(std::move(refused));
    }
    std::string message = impl->lost.empty() ? impl->error() : impl->lost;
    const int error = impl->lost.empty() ? lib.get_errno() : ENOTCONN;
    return tl::unexpected(impl->fail(process_, std::move(message), error).error());
  }
  impl->read_info();
  return std::unique_ptr<NbdkitSession>(new NbdkitSession(std::move(impl)));
}

tl::expected<std::unique_ptr<Session>, Failure> NbdkitTarget::open(std::string_view export_name) {
  auto session = connect(export_name);
  if (!session) return tl::unexpected(std::move(session.error()));
  return std::unique_ptr<Session>(std::move(*session));
}

tl::expected<std::vector<ListedExport>, Failure> NbdkitTarget::list() {
  NbdkitSession::Impl impl;
  if (auto connected = impl.connect(process_, ""); !connected)
    return tl::unexpected(std::move(connected.error()));
  nbd_handle* const h = impl.handle.get();
  const LibNbd& lib = impl.lib;
  std::vector<ListedExport> exports;
  int refused = 0;
  const auto note_end = [](void* to, int* error) {
    *static_cast<int*>(to) = *error;
    return 0;
  };
  if (lib.aio_opt_list(h, {note_export, &exports, nullptr}, {note_end, &refused, nullptr}) != 0 ||
      !impl.wait_until([&] { return lib.aio_is_connecting(h) == 0; }))
    return tl::unexpected(
        impl.fail(process_, impl.lost.empty() ? impl.error() : impl.lost, ENOTCONN).error());
  impl.leave();
  if (refused != 0)
    return tl::unexpected(Failure{Callback::none,
                                  fmt::format("the list was refused: {}", std::strerror(refused)),
                                  false, refused});
  return exports;
}

}  // namespace nbdcheck
