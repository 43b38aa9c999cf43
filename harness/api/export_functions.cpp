// nbdkit_add_export(3), nbdkit_use_default_export(3), and the export list
// functions of nbdkit-filter(3).
#include <memory>

#include "api/api.hpp"
#include "api/filter.hpp"

using nbdcheck::ExportList;
using nbdcheck::IncidentKind;
namespace api = nbdcheck::api;

namespace {

bool usable(const nbdkit_exports* exports, const char* function) {
  const bool live = exports != nullptr && nbdcheck::detail::LiveMark::is_live(&exports->mark);
  auto* host = nbdcheck::current_host();
  const nbdkit_exports* current = host == nullptr ? nullptr : host->current_exports();
  if (!live || (current != nullptr && current != exports)) {
    api::report_incident(IncidentKind::exports_foreign,
                         std::string(function) +
                             " was given a list other than the one .list_exports was called with");
  }
  // Here nbdkit would crash or write to freed memory; that no message is left is not the
  // plugin's doing.
  if (!live) {
    errno = EINVAL;
    api::report_error(std::string(function) + ": not a list of the current request");
  }
  return live;
}

int refuse(const std::string& why) {
  errno = EINVAL;
  api::report_error(why);
  api::report_incident(IncidentKind::export_refused, why);
  return -1;
}

}  // namespace

NBDCHECK_API int nbdkit_add_export(nbdkit_exports* exports, const char* name,
                                   const char* description) {
  if (!usable(exports, "nbdkit_add_export")) return -1;
  if (name == nullptr) {
    errno = EINVAL;
    api::report_error("nbdkit_add_export: the name is NULL");
    api::report_incident(IncidentKind::export_name_null,
                         "nbdkit_add_export: the name is NULL; nbdkit crashes on this");
    return -1;
  }
  constexpr const char* limit = " is longer than 4096 bytes (NBD_MAX_STRING)";
  switch (exports->list.add(name, description == nullptr ? "" : description)) {
    case ExportList::Added::kept:
      return 0;
    case ExportList::Added::name_too_long:
      return refuse("nbdkit_add_export: the name " + api::quoted(name) + limit);
    case ExportList::Added::description_too_long:
      return refuse("nbdkit_add_export: the description of " + api::quoted(name) + limit);
    case ExportList::Added::too_many:
      return refuse("nbdkit_add_export: more than " + std::to_string(ExportList::max_exports) +
                    " exports");
  }
  return -1;
}

NBDCHECK_API int nbdkit_use_default_export(nbdkit_exports* exports) {
  if (!usable(exports, "nbdkit_use_default_export")) return -1;
  exports->list.use_default();
  return 0;
}

// --- for filters -------------------------------------------------------------

NBDCHECK_API nbdkit_exports* nbdkit_exports_new() {
  api::report_filter_function("nbdkit_exports_new");
  return std::make_unique<nbdkit_exports>().release();
}

NBDCHECK_API void nbdkit_exports_free(nbdkit_exports* exports) {
  api::report_filter_function("nbdkit_exports_free");
  if (exports == nullptr) return;
  if (auto* host = nbdcheck::current_host();
      host != nullptr && host->current_exports() == exports) {
    api::report_incident(IncidentKind::server_would_abort,
                         "nbdkit_exports_free on the list .list_exports was called with");
    return;
  }
  if (usable(exports, "nbdkit_exports_free")) const std::unique_ptr<nbdkit_exports> owner(exports);
}

NBDCHECK_API std::size_t nbdkit_exports_count(const nbdkit_exports* exports) {
  api::report_filter_function("nbdkit_exports_count");
  return usable(exports, "nbdkit_exports_count") ? exports->list.exports().size() : 0;
}

NBDCHECK_API nbdkit_export nbdkit_get_export(const nbdkit_exports* exports, std::size_t index) {
  api::report_filter_function("nbdkit_get_export");
  if (!usable(exports, "nbdkit_get_export")) return {};
  const auto& list = exports->list.exports();
  if (index >= list.size()) {
    api::report_incident(IncidentKind::server_would_abort,
                         "nbdkit_get_export: index " + std::to_string(index) + " of " +
                             std::to_string(list.size()) + " exports");
    return {};
  }
  // The list owns the strings; the C declaration cannot say const.
  return {const_cast<char*>(list[index].name.c_str()),
          const_cast<char*>(list[index].description.c_str())};
}
