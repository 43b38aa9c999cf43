// The pointers in struct nbdkit_plugin by name, to go through them all.
#pragma once

#include <array>
#include <cstddef>
#include <cstring>
#include <span>
#include <string_view>
#include <vector>

#include "nbdcheck/abi.hpp"

namespace nbdcheck {

struct StructField {
  const char* name;
  std::size_t offset;

  [[nodiscard]] const void* value(const PluginStruct& plugin) const {
    const void* pointer = nullptr;
    std::memcpy(&pointer, reinterpret_cast<const char*>(&plugin) + offset, sizeof pointer);
    return pointer;
  }
  void clear(PluginStruct& plugin) const {
    std::memset(reinterpret_cast<char*>(&plugin) + offset, 0, sizeof(void*));
  }
};

#define NBDCHECK_FIELD(field) \
  StructField { #field, offsetof(PluginStruct, field) }

inline constexpr std::array string_fields{
    NBDCHECK_FIELD(name),        NBDCHECK_FIELD(longname),    NBDCHECK_FIELD(version),
    NBDCHECK_FIELD(description), NBDCHECK_FIELD(config_help), NBDCHECK_FIELD(magic_config_key)};

inline constexpr std::array callback_fields{NBDCHECK_FIELD(load),
                                            NBDCHECK_FIELD(unload),
                                            NBDCHECK_FIELD(config),
                                            NBDCHECK_FIELD(config_complete),
                                            NBDCHECK_FIELD(open),
                                            NBDCHECK_FIELD(close),
                                            NBDCHECK_FIELD(get_size),
                                            NBDCHECK_FIELD(can_write),
                                            NBDCHECK_FIELD(can_flush),
                                            NBDCHECK_FIELD(is_rotational),
                                            NBDCHECK_FIELD(can_trim),
                                            NBDCHECK_FIELD(_pread_v1),
                                            NBDCHECK_FIELD(_pwrite_v1),
                                            NBDCHECK_FIELD(_flush_v1),
                                            NBDCHECK_FIELD(_trim_v1),
                                            NBDCHECK_FIELD(_zero_v1),
                                            NBDCHECK_FIELD(dump_plugin),
                                            NBDCHECK_FIELD(can_zero),
                                            NBDCHECK_FIELD(can_fua),
                                            NBDCHECK_FIELD(pread),
                                            NBDCHECK_FIELD(pwrite),
                                            NBDCHECK_FIELD(flush),
                                            NBDCHECK_FIELD(trim),
                                            NBDCHECK_FIELD(zero),
                                            NBDCHECK_FIELD(can_multi_conn),
                                            NBDCHECK_FIELD(can_extents),
                                            NBDCHECK_FIELD(extents),
                                            NBDCHECK_FIELD(can_cache),
                                            NBDCHECK_FIELD(cache),
                                            NBDCHECK_FIELD(thread_model),
                                            NBDCHECK_FIELD(can_fast_zero),
                                            NBDCHECK_FIELD(preconnect),
                                            NBDCHECK_FIELD(get_ready),
                                            NBDCHECK_FIELD(after_fork),
                                            NBDCHECK_FIELD(list_exports),
                                            NBDCHECK_FIELD(default_export),
                                            NBDCHECK_FIELD(export_description),
                                            NBDCHECK_FIELD(cleanup),
                                            NBDCHECK_FIELD(block_size)};

#undef NBDCHECK_FIELD

// Called between the first connection and the last; first the ones that read or
// change the disk.
inline constexpr std::array<std::string_view, 20> while_connected{
    "pread",     "pwrite",    "flush",          "trim",       "zero",    "_pread_v1", "_pwrite_v1",
    "_flush_v1", "_trim_v1",  "_zero_v1",       "preconnect", "open",    "close",     "get_size",
    "can_write", "can_flush", "can_multi_conn", "block_size", "extents", "cache"};
inline constexpr auto of_the_data = std::span(while_connected).first<10>();

// Where those of `names` begin that the plugin has.
inline std::vector<void*> callbacks_of(const PluginStruct& plugin,
                                       std::span<const std::string_view> names) {
  std::vector<void*> entries;
  for (const std::string_view wanted : names)
    for (const StructField& field : callback_fields)
      if (field.name == wanted && field.value(plugin) != nullptr)
        entries.push_back(const_cast<void*>(field.value(plugin)));
  return entries;
}

}  // namespace nbdcheck
