#include "nbdcheck/observer.hpp"

#include <array>
#include <cstddef>

namespace nbdcheck {
namespace {

// In the order of the enumeration.
constexpr std::array<std::string_view, static_cast<std::size_t>(IncidentKind::count_)>
    incident_names{
        "return-value",
        "bool-value",
        "fua-value",
        "cache-value",
        "size-value",
        "thread-model-value",
        "block-size-unset",
        "block-size-invalid",
        "errno-not-positive",
        "no-error-message",
        "no-errno",
        "errno-on-success",
        "errno-lost",
        "missing-callback",
        "fua-without-flush",
        "extent-not-contiguous",
        "extent-wraps",
        "extent-type-value",
        "extent-none",
        "extent-too-many",
        "extents-foreign",
        "export-refused",
        "exports-foreign",
        "export-name-null",
        "default-export-invalid",
        "description-invalid",
        "string-freed",
        "no-context",
        "intern-race",
        "nanosleep-too-early",
        "filter-function",
        "buffer-overrun",
        "buffer-unfilled",
        "config-modified",
        "server-would-abort",
    };
static_assert(!incident_names.back().empty(), "every IncidentKind has a name");

}  // namespace

std::string_view name(IncidentKind kind) {
  const auto index = static_cast<std::size_t>(kind);
  return index < incident_names.size() ? incident_names[index] : "invalid";
}

}  // namespace nbdcheck
