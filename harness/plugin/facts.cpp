#include "plugin/facts.hpp"

#include <utility>

namespace nbdcheck {
namespace {

std::string text(const char* string) { return string == nullptr ? "" : string; }

// The names `nbdkit --dump-plugin` prints as has_NAME, in struct order.
std::vector<std::string> present(const PluginStruct& p) {
  std::vector<std::string> names;
  const auto add = [&](const char* name, auto* function) {
    if (function != nullptr) names.emplace_back(name);
  };
#define ADD(field) add(#field, p.field)
  ADD(load);
  ADD(unload);
  ADD(config);
  ADD(config_complete);
  ADD(open);
  ADD(close);
  ADD(get_size);
  ADD(can_write);
  ADD(can_flush);
  ADD(is_rotational);
  ADD(can_trim);
  ADD(_pread_v1);
  ADD(_pwrite_v1);
  ADD(_flush_v1);
  ADD(_trim_v1);
  ADD(_zero_v1);
  ADD(dump_plugin);
  ADD(can_zero);
  ADD(can_fua);
  ADD(pread);
  ADD(pwrite);
  ADD(flush);
  ADD(trim);
  ADD(zero);
  ADD(can_multi_conn);
  ADD(can_extents);
  ADD(extents);
  ADD(can_cache);
  ADD(cache);
  ADD(thread_model);
  ADD(can_fast_zero);
  ADD(preconnect);
  ADD(get_ready);
  ADD(after_fork);
  ADD(list_exports);
  ADD(default_export);
  ADD(export_description);
  ADD(cleanup);
  ADD(block_size);
#undef ADD
  return names;
}

}  // namespace

PluginFacts describe(const PluginStruct& callbacks, std::uint64_t declared_size, std::string path) {
  PluginFacts facts;
  facts.path = std::move(path);
  facts.name = text(callbacks.name);
  facts.longname = text(callbacks.longname);
  facts.version = text(callbacks.version);
  facts.description = text(callbacks.description);
  facts.config_help = text(callbacks.config_help);
  facts.api_version = callbacks._api_version;
  facts.struct_size = declared_size;
  facts.static_thread_model = callbacks._thread_model;
  facts.errno_is_preserved = callbacks.errno_is_preserved != 0;
  facts.magic_config_key = text(callbacks.magic_config_key);
  facts.has = present(callbacks);
  return facts;
}

}  // namespace nbdcheck
