#include "plugin/api_versions.hpp"

#include <algorithm>
#include <array>

namespace nbdcheck {
namespace {

struct Since {
  std::string_view function;
  std::string_view version;
};

constexpr std::array functions{
    Since{"nbdkit_error", "1.0"},
    Since{"nbdkit_verror", "1.0"},
    Since{"nbdkit_debug", "1.0"},
    Since{"nbdkit_vdebug", "1.0"},
    Since{"nbdkit_parse_size", "1.0"},
    Since{"nbdkit_absolute_path", "1.0"},
    Since{"nbdkit_set_error", "1.2"},
    Since{"nbdkit_read_password", "1.2"},
    Since{"nbdkit_realpath", "1.4"},
    Since{"nbdkit_parse_bool", "1.8"},
    Since{"nbdkit_add_extent", "1.12"},
    Since{"nbdkit_nanosleep", "1.14"},
    Since{"nbdkit_parse_int", "1.16"},
    Since{"nbdkit_parse_unsigned", "1.16"},
    Since{"nbdkit_parse_int8_t", "1.16"},
    Since{"nbdkit_parse_uint8_t", "1.16"},
    Since{"nbdkit_parse_int16_t", "1.16"},
    Since{"nbdkit_parse_uint16_t", "1.16"},
    Since{"nbdkit_parse_int32_t", "1.16"},
    Since{"nbdkit_parse_uint32_t", "1.16"},
    Since{"nbdkit_parse_int64_t", "1.16"},
    Since{"nbdkit_parse_uint64_t", "1.16"},
    Since{"nbdkit_export_name", "1.16"},
    Since{"nbdkit_peer_name", "1.16"},
    Since{"nbdkit_stdio_safe", "1.20"},
    Since{"nbdkit_shutdown", "1.20"},
    Since{"nbdkit_is_tls", "1.22"},
    Since{"nbdkit_add_export", "1.22"},
    Since{"nbdkit_use_default_export", "1.24"},
    Since{"nbdkit_peer_pid", "1.24"},
    Since{"nbdkit_peer_uid", "1.24"},
    Since{"nbdkit_peer_gid", "1.24"},
    Since{"nbdkit_strdup_intern", "1.24"},
    Since{"nbdkit_strndup_intern", "1.24"},
    Since{"nbdkit_printf_intern", "1.24"},
    Since{"nbdkit_vprintf_intern", "1.24"},
    Since{"nbdkit_disconnect", "1.34"},
    Since{"nbdkit_parse_probability", "1.36"},
    Since{"nbdkit_peer_security_context", "1.36"},
    Since{"nbdkit_parse_delay", "1.40"},
    Since{"nbdkit_peer_tls_dn", "1.42"},
    Since{"nbdkit_peer_tls_issuer_dn", "1.42"},
    Since{"nbdkit_debug_hexdump", "1.46"},
    Since{"nbdkit_debug_hexdiff", "1.46"},
};

}  // namespace

std::string_view nbdkit_version_with(std::string_view function) {
  const auto* found = std::find_if(functions.begin(), functions.end(),
                                   [&](const Since& s) { return s.function == function; });
  return found == functions.end() ? std::string_view{} : found->version;
}

}  // namespace nbdcheck
