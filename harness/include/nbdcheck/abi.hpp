// The plugin ABI as the newest nbdkit knows it, laid out by ourselves so that
// it does not depend on the nbdkit headers found at build time.  Source:
// nbdkit-plugin.h and nbdkit-plugin(3) "nbdkit_plugin"; LP64 offsets asserted
// in harness/plugin/abi.cpp against the installed header.
#pragma once

#include <cstdint>

struct nbdkit_extents;
struct nbdkit_exports;

namespace nbdcheck {

struct PluginStruct {
  std::uint64_t _struct_size;
  int _api_version;
  int _thread_model;

  const char* name;
  const char* longname;
  const char* version;
  const char* description;

  void (*load)();
  void (*unload)();
  int (*config)(const char* key, const char* value);
  int (*config_complete)();
  const char* config_help;
  void* (*open)(int readonly);
  void (*close)(void* handle);
  std::int64_t (*get_size)(void* handle);
  int (*can_write)(void* handle);
  int (*can_flush)(void* handle);
  int (*is_rotational)(void* handle);
  int (*can_trim)(void* handle);

  // API version 1: no flags.
  int (*_pread_v1)(void*, void*, std::uint32_t, std::uint64_t);
  int (*_pwrite_v1)(void*, const void*, std::uint32_t, std::uint64_t);
  int (*_flush_v1)(void*);
  int (*_trim_v1)(void*, std::uint32_t, std::uint64_t);
  int (*_zero_v1)(void*, std::uint32_t, std::uint64_t, int may_trim);

  int errno_is_preserved;
  void (*dump_plugin)();
  int (*can_zero)(void* handle);
  int (*can_fua)(void* handle);

  // API version 2.
  int (*pread)(void*, void* buf, std::uint32_t count, std::uint64_t offset, std::uint32_t flags);
  int (*pwrite)(void*, const void* buf, std::uint32_t count, std::uint64_t offset,
                std::uint32_t flags);
  int (*flush)(void*, std::uint32_t flags);
  int (*trim)(void*, std::uint32_t count, std::uint64_t offset, std::uint32_t flags);
  int (*zero)(void*, std::uint32_t count, std::uint64_t offset, std::uint32_t flags);

  const char* magic_config_key;
  int (*can_multi_conn)(void* handle);
  int (*can_extents)(void* handle);
  int (*extents)(void*, std::uint32_t count, std::uint64_t offset, std::uint32_t flags,
                 nbdkit_extents*);
  int (*can_cache)(void* handle);
  int (*cache)(void*, std::uint32_t count, std::uint64_t offset, std::uint32_t flags);
  int (*thread_model)();
  int (*can_fast_zero)(void* handle);
  int (*preconnect)(int readonly);
  int (*get_ready)();
  int (*after_fork)();
  int (*list_exports)(int readonly, int is_tls, nbdkit_exports*);
  const char* (*default_export)(int readonly, int is_tls);
  const char* (*export_description)(void* handle);
  void (*cleanup)();
  int (*block_size)(void* handle, std::uint32_t* minimum, std::uint32_t* preferred,
                    std::uint32_t* maximum);
};

// Flag and constant values of nbdkit-common.h.
namespace plugin_flag {
inline constexpr std::uint32_t may_trim = 1U << 0;
inline constexpr std::uint32_t fua = 1U << 1;
inline constexpr std::uint32_t req_one = 1U << 2;
inline constexpr std::uint32_t fast_zero = 1U << 3;
}  // namespace plugin_flag

enum FuaMode { fua_none = 0, fua_emulate = 1, fua_native = 2 };
enum CacheMode { cache_none = 0, cache_emulate = 1, cache_native = 2 };
enum ZeroMode { zero_none = 0, zero_emulate = 1, zero_native = 2 };

}  // namespace nbdcheck
