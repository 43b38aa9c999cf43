// nbdkit plugins as C++ classes.
//
//   struct Disk {                                    // one object for each connection
//     static constexpr const char* name = "disk";
//     static constexpr int thread_model = NBDKIT_THREAD_MODEL_PARALLEL;
//     explicit Disk(bool readonly);                  // .open; ~Disk() is .close
//     std::int64_t get_size();
//     void pread(std::span<std::byte> to, std::uint64_t offset);
//   };
//   NBDKIT_CXX_PLUGIN(Disk)
//
// Every other member that has the name of a callback is registered as that callback, and only
// then: what a class has is found out when it is compiled. Static members concern the plugin,
// the others the connection. They return what the callback is about, and fail by exceptions:
// nbdkit::Error or std::system_error for an errno of their choice, std::bad_alloc for ENOMEM.
// No exception leaves a callback: between C functions that would end the server.
#ifndef REFERENCE_PLUGINS_CXX_NBDKIT_HPP
#define REFERENCE_PLUGINS_CXX_NBDKIT_HPP

#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <new>
#include <span>
#include <stdexcept>
#include <string>
#include <system_error>

namespace nbdkit {

class Error : public std::runtime_error {
 public:
  Error(int error, const std::string& message) : std::runtime_error(message), errno_(error) {}
  [[nodiscard]] int error() const { return errno_; }

 private:
  int errno_;
};

// The server has already said why.
struct Reported {};

// A .zero that leaves it to nbdkit to write the zeroes; no failure, so without a message.
struct Declined {};

struct BlockSize {
  std::uint32_t minimum, preferred, maximum;
};

inline std::int64_t parse_size(const char* text) {
  const std::int64_t size = nbdkit_parse_size(text);
  if (size == -1) throw Reported();
  return size;
}

// What .extents adds to.
class Extents {
 public:
  explicit Extents(nbdkit_extents* list) : list_(list) {}

  void add(std::uint64_t offset, std::uint64_t length, std::uint32_t type) {
    if (nbdkit_add_extent(list_, offset, length, type) == 0) return;
    nbdkit_set_error(errno);
    throw Reported();
  }

 private:
  nbdkit_extents* list_;
};

// What .list_exports adds to.
class Exports {
 public:
  explicit Exports(nbdkit_exports* list) : list_(list) {}

  void add(const std::string& name, const char* description) {
    if (nbdkit_add_export(list_, name.c_str(), description) == -1) throw Reported();
  }

 private:
  nbdkit_exports* list_;
};

namespace detail {

inline void report(int error, const char* message) noexcept {
  nbdkit_error("%s", message);
  nbdkit_set_error(error > 0 ? error : EIO);  // a negative one is an assertion in the server
}

// Runs a callback's body; an exception becomes `failure`, a message and an errno.
template <typename Result, typename Body>
Result guarded(Result failure, Body body) noexcept {
  try {
    return body();
  } catch (const Reported&) {
  } catch (const Declined&) {
    nbdkit_set_error(EOPNOTSUPP);
  } catch (const Error& e) {
    report(e.error(), e.what());
  } catch (const std::system_error& e) {
    report(e.code().value(), e.what());
  } catch (const std::bad_alloc&) {
    report(ENOMEM, "out of memory");
  } catch (const std::exception& e) {
    report(EIO, e.what());
  } catch (...) {
    report(EIO, "an exception that is not one of the standard library");
  }
  return failure;
}

template <typename Body>
int status(Body body) noexcept {
  return guarded(-1, [&] {
    body();
    return 0;
  });
}

template <typename C>
C& connection(void* handle) {
  return *static_cast<C*>(handle);
}

using Bytes = std::span<std::byte>;
using ConstBytes = std::span<const std::byte>;

#define NBDKIT_CXX_STRING(field) \
  if constexpr (requires { C::field; }) p.field = C::field
#define NBDKIT_CXX_VOID(field)            \
  if constexpr (requires { C::field(); }) \
  p.field = [] {                          \
    guarded(0, [] {                       \
      C::field();                         \
      return 0;                           \
    });                                   \
  }
#define NBDKIT_CXX_STATUS(field) \
  if constexpr (requires { C::field(); }) p.field = [] { return status([] { C::field(); }); }
#define NBDKIT_CXX_ANSWER(field)                     \
  if constexpr (requires(C & c) { int(c.field()); }) \
  p.field = [](void* h) { return guarded(-1, [&] { return int(connection<C>(h).field()); }); }
#define NBDKIT_CXX_RANGE(field)                                                           \
  if constexpr (requires(C & c) { c.field(1U, std::uint64_t{1}, 1U); })                   \
  p.field = [](void* h, std::uint32_t count, std::uint64_t offset, std::uint32_t flags) { \
    return status([&] { connection<C>(h).field(count, offset, flags); });                 \
  }

template <typename C>
void about_the_plugin(nbdkit_plugin& p) {
  p.name = C::name;
  NBDKIT_CXX_STRING(longname);
  NBDKIT_CXX_STRING(version);
  NBDKIT_CXX_STRING(description);
  NBDKIT_CXX_STRING(config_help);
  NBDKIT_CXX_STRING(magic_config_key);
  NBDKIT_CXX_VOID(load);
  NBDKIT_CXX_VOID(unload);
  NBDKIT_CXX_VOID(cleanup);
  NBDKIT_CXX_VOID(dump_plugin);
  NBDKIT_CXX_STATUS(config_complete);
  NBDKIT_CXX_STATUS(get_ready);
  NBDKIT_CXX_STATUS(after_fork);
  if constexpr (requires(const char* s) { C::config(s, s); })
    p.config = [](const char* key, const char* value) {
      return status([&] { C::config(key, value); });
    };
  if constexpr (requires { C::preconnect(true); })
    p.preconnect = [](int readonly) { return status([&] { C::preconnect(readonly != 0); }); };
  if constexpr (requires(Exports & e) { C::list_exports(true, true, e); })
    p.list_exports = [](int readonly, int is_tls, nbdkit_exports* list) {
      return status([&] {
        Exports exports(list);
        C::list_exports(readonly != 0, is_tls != 0, exports);
      });
    };
  if constexpr (requires { C::default_export(true, true); })
    p.default_export = [](int readonly, int is_tls) {
      return guarded(static_cast<const char*>(nullptr),
                     [&] { return C::default_export(readonly != 0, is_tls != 0); });
    };
}

template <typename C>
void about_the_connection(nbdkit_plugin& p) {
  p.open = [](int readonly) {
    return guarded(static_cast<void*>(nullptr),
                   [&]() -> void* { return std::make_unique<C>(readonly != 0).release(); });
  };
  p.close = [](void* h) { std::unique_ptr<C>(static_cast<C*>(h)).reset(); };
  p.get_size = [](void* h) {
    return guarded(std::int64_t{-1},
                   [&] { return static_cast<std::int64_t>(connection<C>(h).get_size()); });
  };
  NBDKIT_CXX_ANSWER(can_write);
  NBDKIT_CXX_ANSWER(can_flush);
  NBDKIT_CXX_ANSWER(is_rotational);
  NBDKIT_CXX_ANSWER(can_trim);
  NBDKIT_CXX_ANSWER(can_zero);
  NBDKIT_CXX_ANSWER(can_fast_zero);
  NBDKIT_CXX_ANSWER(can_extents);
  NBDKIT_CXX_ANSWER(can_fua);
  NBDKIT_CXX_ANSWER(can_multi_conn);
  NBDKIT_CXX_ANSWER(can_cache);
  if constexpr (requires(C & c) { c.export_description(); })
    p.export_description = [](void* h) {
      return guarded(static_cast<const char*>(nullptr),
                     [&] { return connection<C>(h).export_description(); });
    };
  if constexpr (requires(C & c) { c.block_size(); })
    p.block_size = [](void* h, std::uint32_t* minimum, std::uint32_t* preferred,
                      std::uint32_t* maximum) {
      return status([&] {
        const BlockSize size = connection<C>(h).block_size();
        *minimum = size.minimum;
        *preferred = size.preferred;
        *maximum = size.maximum;
      });
    };
}

template <typename C>
void requests(nbdkit_plugin& p) {
  p.pread = [](void* h, void* buf, std::uint32_t count, std::uint64_t offset, std::uint32_t) {
    return status(
        [&] { connection<C>(h).pread(Bytes(static_cast<std::byte*>(buf), count), offset); });
  };
  if constexpr (requires(C & c, ConstBytes b) { c.pwrite(b, std::uint64_t{1}, 1U); })
    p.pwrite = [](void* h, const void* buf, std::uint32_t count, std::uint64_t offset,
                  std::uint32_t flags) {
      return status([&] {
        connection<C>(h).pwrite(ConstBytes(static_cast<const std::byte*>(buf), count), offset,
                                flags);
      });
    };
  if constexpr (requires(C & c) { c.flush(); })
    p.flush = [](void* h, std::uint32_t) { return status([&] { connection<C>(h).flush(); }); };
  NBDKIT_CXX_RANGE(trim);
  NBDKIT_CXX_RANGE(zero);
  NBDKIT_CXX_RANGE(cache);
  if constexpr (requires(C & c, Extents & e) { c.extents(1U, std::uint64_t{1}, 1U, e); })
    p.extents = [](void* h, std::uint32_t count, std::uint64_t offset, std::uint32_t flags,
                   nbdkit_extents* list) {
      return status([&] {
        Extents extents(list);
        connection<C>(h).extents(count, offset, flags, extents);
      });
    };
}

#undef NBDKIT_CXX_STRING
#undef NBDKIT_CXX_VOID
#undef NBDKIT_CXX_STATUS
#undef NBDKIT_CXX_ANSWER
#undef NBDKIT_CXX_RANGE

}  // namespace detail

template <typename C>
nbdkit_plugin make_plugin() {
  nbdkit_plugin p{};
  p._struct_size = sizeof p;
  p._api_version = NBDKIT_API_VERSION;
  p._thread_model = C::thread_model;
  detail::about_the_plugin<C>(p);
  detail::about_the_connection<C>(p);
  detail::requests<C>(p);
  return p;
}

}  // namespace nbdkit

// The plugin of this class. In a source of its own, outside of any namespace.
#define NBDKIT_CXX_PLUGIN(Class)                                                   \
  extern "C" __attribute__((visibility("default"))) nbdkit_plugin* plugin_init() { \
    static nbdkit_plugin plugin = nbdkit::make_plugin<Class>();                    \
    return &plugin;                                                                \
  }

#endif
