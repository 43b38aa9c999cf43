// Our layout of the plugin struct against that of the installed header: this
// file compiles, or the two have parted.
#include "nbdcheck/abi.hpp"

#include <cstddef>

#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

namespace nbdcheck {
namespace {

#define SAME_OFFSET(field) \
  static_assert(offsetof(PluginStruct, field) == offsetof(nbdkit_plugin, field))

SAME_OFFSET(_struct_size);
SAME_OFFSET(_api_version);
SAME_OFFSET(_thread_model);
SAME_OFFSET(name);
SAME_OFFSET(longname);
SAME_OFFSET(version);
SAME_OFFSET(description);
SAME_OFFSET(load);
SAME_OFFSET(unload);
SAME_OFFSET(config);
SAME_OFFSET(config_complete);
SAME_OFFSET(config_help);
SAME_OFFSET(open);
SAME_OFFSET(close);
SAME_OFFSET(get_size);
SAME_OFFSET(can_write);
SAME_OFFSET(can_flush);
SAME_OFFSET(is_rotational);
SAME_OFFSET(can_trim);
SAME_OFFSET(errno_is_preserved);
SAME_OFFSET(dump_plugin);
SAME_OFFSET(can_zero);
SAME_OFFSET(can_fua);
SAME_OFFSET(pread);
SAME_OFFSET(pwrite);
SAME_OFFSET(flush);
SAME_OFFSET(trim);
SAME_OFFSET(zero);
SAME_OFFSET(magic_config_key);
SAME_OFFSET(can_multi_conn);
SAME_OFFSET(can_extents);
SAME_OFFSET(extents);
SAME_OFFSET(can_cache);
SAME_OFFSET(cache);
SAME_OFFSET(thread_model);
SAME_OFFSET(can_fast_zero);
SAME_OFFSET(preconnect);
SAME_OFFSET(get_ready);
SAME_OFFSET(after_fork);
SAME_OFFSET(list_exports);
SAME_OFFSET(default_export);
SAME_OFFSET(export_description);
SAME_OFFSET(cleanup);
SAME_OFFSET(block_size);

#undef SAME_OFFSET

// The five API version 1 callbacks keep the slots whose names the header hides.
static_assert(offsetof(PluginStruct, _pread_v1) == 144);
static_assert(offsetof(PluginStruct, _zero_v1) == 176);

// An installed nbdkit newer than the one we know may only have added at the end.
static_assert(sizeof(PluginStruct) == 384);
static_assert(sizeof(nbdkit_plugin) >= sizeof(PluginStruct));

static_assert(plugin_flag::may_trim == NBDKIT_FLAG_MAY_TRIM);
static_assert(plugin_flag::fua == NBDKIT_FLAG_FUA);
static_assert(plugin_flag::req_one == NBDKIT_FLAG_REQ_ONE);
static_assert(plugin_flag::fast_zero == NBDKIT_FLAG_FAST_ZERO);
static_assert(fua_native == NBDKIT_FUA_NATIVE && fua_emulate == NBDKIT_FUA_EMULATE);
static_assert(cache_native == NBDKIT_CACHE_NATIVE && cache_emulate == NBDKIT_CACHE_EMULATE);

}  // namespace
}  // namespace nbdcheck
