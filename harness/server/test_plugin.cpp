#include "server/test_plugin.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <stdexcept>
#include <utility>

namespace nbdcheck::test {

Script script;
PluginStruct table;

namespace {

std::mutex log_mutex;
std::vector<std::string> log;
int handle;

std::string flag_words(std::uint32_t flags) {
  std::string words;
  if ((flags & plugin_flag::may_trim) != 0) words += " may_trim";
  if ((flags & plugin_flag::fua) != 0) words += " fua";
  if ((flags & plugin_flag::req_one) != 0) words += " req_one";
  if ((flags & plugin_flag::fast_zero) != 0) words += " fast_zero";
  return words;
}

std::int64_t act(Callback callback, const std::string& arguments = "", std::int64_t usual = 0) {
  {
    const std::lock_guard lock(log_mutex);
    log.push_back(std::string(name(callback)) + arguments);
  }
  if (script.during) script.during(callback);
  const auto found = script.returns.find(callback);
  const std::int64_t result = found == script.returns.end() ? usual : found->second;
  if (result == -1 && !script.silent.contains(callback)) nbdkit_error("told to fail");
  if (const auto set = script.sets_error.find(callback); set != script.sets_error.end()) {
    nbdkit_set_error(set->second);
  }
  if (const auto set = script.sets_errno.find(callback); set != script.sets_errno.end()) {
    errno = set->second;
  }
  return result;
}

int number(Callback callback, const std::string& arguments = "", int usual = 0) {
  return static_cast<int>(act(callback, arguments, usual));
}

const char* text(Callback callback, const std::string& arguments = "") {
  return act(callback, arguments) == -1 ? nullptr : script.text.c_str();
}

std::string range(std::uint32_t count, std::uint64_t offset, std::uint32_t flags) {
  return fmt::format(" {} {}{}", count, offset, flag_words(flags));
}

int read_into(void* buffer, std::uint32_t count, std::uint64_t offset, std::uint32_t flags) {
  const int result = number(Callback::pread, range(count, offset, flags));
  if (result == -1) return result;
  if (script.fill) {
    script.fill(static_cast<std::byte*>(buffer), count);
  } else {
    std::memset(buffer, 0, count);
  }
  return result;
}

int write_from(const void* buffer, std::uint32_t count, std::uint64_t offset, std::uint32_t flags) {
  if (script.take) script.take(static_cast<const std::byte*>(buffer), count);
  return number(Callback::pwrite, range(count, offset, flags));
}

template <Callback callback>
int ask(void*) {
  return number(callback, "", 1);
}

template <Callback callback>
int step() {
  return number(callback);
}

void* open_handle(int readonly) {
  return act(Callback::open, readonly != 0 ? " readonly" : "") == -1 ? nullptr : &handle;
}
std::int64_t size_of(void*) { return act(Callback::get_size, "", script.size); }

}  // namespace

void add(Callback callback) {
  switch (callback) {
    case Callback::load:
      table.load = [] { act(Callback::load); };
      break;
    case Callback::unload:
      table.unload = [] { act(Callback::unload); };
      break;
    case Callback::dump_plugin:
      table.dump_plugin = [] {
        act(Callback::dump_plugin);
        std::printf("colour=blue\n");
      };
      break;
    case Callback::config:
      table.config = [](const char* key, const char* value) {
        return number(Callback::config, fmt::format(" {}={}", key, value));
      };
      break;
    case Callback::config_complete:
      table.config_complete = step<Callback::config_complete>;
      break;
    case Callback::thread_model:
      table.thread_model = [] { return number(Callback::thread_model, "", 3); };
      break;
    case Callback::get_ready:
      table.get_ready = step<Callback::get_ready>;
      break;
    case Callback::after_fork:
      table.after_fork = step<Callback::after_fork>;
      break;
    case Callback::cleanup:
      table.cleanup = [] { act(Callback::cleanup); };
      break;
    case Callback::preconnect:
      table.preconnect = [](int) { return number(Callback::preconnect); };
      break;
    case Callback::list_exports:
      table.list_exports = [](int, int, nbdkit_exports* exports) {
        if (script.exports) script.exports(exports);
        return number(Callback::list_exports);
      };
      break;
    case Callback::default_export:
      table.default_export = [](int, int) { return text(Callback::default_export); };
      break;
    case Callback::open:
      table.open = open_handle;
      break;
    case Callback::close:
      table.close = [](void*) { act(Callback::close); };
      break;
    case Callback::export_description:
      table.export_description = [](void*) { return text(Callback::export_description); };
      break;
    case Callback::get_size:
      table.get_size = size_of;
      break;
    case Callback::block_size:
      table.block_size = [](void*, std::uint32_t* minimum, std::uint32_t* preferred,
                            std::uint32_t* maximum) {
        *minimum = script.block_size.minimum;
        *preferred = script.block_size.preferred;
        *maximum = script.block_size.maximum;
        return number(Callback::block_size);
      };
      break;
    case Callback::can_write:
      table.can_write = ask<Callback::can_write>;
      break;
    case Callback::can_flush:
      table.can_flush = ask<Callback::can_flush>;
      break;
    case Callback::is_rotational:
      table.is_rotational = ask<Callback::is_rotational>;
      break;
    case Callback::can_trim:
      table.can_trim = ask<Callback::can_trim>;
      break;
    case Callback::can_zero:
      table.can_zero = ask<Callback::can_zero>;
      break;
    case Callback::can_fast_zero:
      table.can_fast_zero = ask<Callback::can_fast_zero>;
      break;
    case Callback::can_extents:
      table.can_extents = ask<Callback::can_extents>;
      break;
    case Callback::can_fua:
      table.can_fua = ask<Callback::can_fua>;
      break;
    case Callback::can_multi_conn:
      table.can_multi_conn = ask<Callback::can_multi_conn>;
      break;
    case Callback::can_cache:
      table.can_cache = ask<Callback::can_cache>;
      break;
    case Callback::pread:
      table.pread = [](void*, void* buffer, std::uint32_t count, std::uint64_t offset,
                       std::uint32_t flags) { return read_into(buffer, count, offset, flags); };
      break;
    case Callback::pwrite:
      table.pwrite = [](void*, const void* buffer, std::uint32_t count, std::uint64_t offset,
                        std::uint32_t flags) { return write_from(buffer, count, offset, flags); };
      break;
    case Callback::flush:
      table.flush = [](void*, std::uint32_t) { return number(Callback::flush); };
      break;
    case Callback::trim:
      table.trim = [](void*, std::uint32_t count, std::uint64_t offset, std::uint32_t flags) {
        return number(Callback::trim, range(count, offset, flags));
      };
      break;
    case Callback::zero:
      table.zero = [](void*, std::uint32_t count, std::uint64_t offset, std::uint32_t flags) {
        return number(Callback::zero, range(count, offset, flags));
      };
      break;
    case Callback::extents:
      table.extents = [](void*, std::uint32_t count, std::uint64_t offset, std::uint32_t flags,
                         nbdkit_extents* list) {
        if (script.extents) script.extents(list, count, offset);
        return number(Callback::extents, range(count, offset, flags));
      };
      break;
    case Callback::cache:
      table.cache = [](void*, std::uint32_t count, std::uint64_t offset, std::uint32_t flags) {
        return number(Callback::cache, range(count, offset, flags));
      };
      break;
    case Callback::none:
    case Callback::plugin_init:
    case Callback::count_:
      break;
  }
}

void add_all() {
  for (int i = 0; i < static_cast<int>(Callback::count_); ++i) add(static_cast<Callback>(i));
}

void reset() {
  script = {};
  table = {};
  take_log();
  table._struct_size = sizeof table;
  table._api_version = 2;
  table._thread_model = static_cast<int>(ThreadModel::parallel);
  table.name = "scripted";
  add(Callback::open);
  add(Callback::get_size);
  add(Callback::pread);
}

void* plugin_init() { return &table; }

std::vector<std::string> take_log() {
  const std::lock_guard lock(log_mutex);
  return std::exchange(log, {});
}

void Recorder::on_error(Callback where, std::string_view message) {
  const std::lock_guard lock(mutex_);
  errors_.push_back(fmt::format("{}: {}", name(where), message));
}
void Recorder::on_debug(Callback where, std::string_view message) {
  const std::lock_guard lock(mutex_);
  errors_.push_back(fmt::format("{}: debug: {}", name(where), message));
}
void Recorder::on_incident(const Incident& incident) {
  const std::lock_guard lock(mutex_);
  incidents_.push_back(incident.kind);
}
void Recorder::on_call(Callback callback) {
  const std::lock_guard lock(mutex_);
  trace_.push_back(fmt::format(">{}", name(callback)));
}
void Recorder::on_return(Callback callback, long long value) {
  const std::lock_guard lock(mutex_);
  trace_.push_back(fmt::format("<{} {}", name(callback), value));
}
std::vector<IncidentKind> Recorder::incidents() {
  const std::lock_guard lock(mutex_);
  return incidents_;
}
std::vector<std::string> Recorder::errors() {
  const std::lock_guard lock(mutex_);
  return errors_;
}
std::vector<std::string> Recorder::trace() {
  const std::lock_guard lock(mutex_);
  return trace_;
}
void Recorder::clear() {
  const std::lock_guard lock(mutex_);
  incidents_.clear();
  errors_.clear();
  trace_.clear();
}

Running::Running(ServerOptions options) {
  auto loaded = Server::adopt(plugin_init, std::move(options), recorder);
  if (!loaded) throw std::runtime_error(loaded.error().message);
  server = std::move(*loaded);
  if (auto done = server->configure({}); !done) throw std::runtime_error(done.error().message);
  if (auto done = server->start(); !done) throw std::runtime_error(done.error().message);
}

Connection& Running::open(const std::string& name) {
  auto connection = server->connect();
  if (!connection) throw std::runtime_error(connection.error().message);
  if (auto info = (*connection)->open(name); !info) {
    throw std::runtime_error(info.error().message);
  }
  connections.push_back(std::move(*connection));
  return *connections.back();
}

}  // namespace nbdcheck::test
