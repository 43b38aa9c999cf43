// nbdkit_add_extent(3), and the extent list functions of nbdkit-filter(3).
#include <limits>
#include <memory>

#include "api/api.hpp"
#include "api/filter.hpp"

using nbdcheck::ExtentList;
using nbdcheck::IncidentKind;
namespace api = nbdcheck::api;

namespace {

constexpr std::uint64_t largest_offset = std::numeric_limits<std::int64_t>::max();

void report_foreign(const std::string& what) {
  api::report_incident(IncidentKind::extents_foreign, what);
}

// A living list: the one .extents was given, perhaps used from a thread of the
// plugin's own, or one from nbdkit_extents_new.
bool usable(const nbdkit_extents* extents, const char* function) {
  if (extents != nullptr && nbdcheck::detail::LiveMark::is_live(&extents->mark)) return true;
  report_foreign(std::string(function) +
                 " was given a list that does not exist (any more): use only the one .extents was "
                 "called with, and only until it returns");
  // Here nbdkit would crash or write to freed memory; that no message is left is not the plugin's
  // doing.
  api::report_error(std::string(function) + ": not a list of the current request");
  return false;
}

std::string describe(std::uint64_t offset, std::uint64_t length, std::uint32_t type) {
  return "nbdkit_add_extent(offset=" + std::to_string(offset) +
         ", length=" + std::to_string(length) + ", type=" + std::to_string(type) + ")";
}

void report_values(nbdkit_extents* extents, std::uint64_t offset, std::uint64_t length,
                   std::uint32_t type) {
  auto* host = nbdcheck::current_host();
  const nbdkit_extents* current = host == nullptr ? nullptr : host->current_extents();
  if (current != nullptr && current != extents)
    report_foreign(describe(offset, length, type) +
                   " on a list that belongs to another call of .extents");
  // A map in blocks of any power of two rounds the end of the largest export,
  // 2^63-1, up to 2^63: that much is cut off and harms nobody.
  if (length > 0 && (offset > largest_offset || length - 1 > largest_offset - offset)) {
    extents->wrapped = true;
    api::report_incident(IncidentKind::extent_wraps,
                         describe(offset, length, type) + " reaches past 2^63-1");
  }
  if ((type & ~std::uint32_t{NBDKIT_EXTENT_HOLE | NBDKIT_EXTENT_ZERO}) != 0) {
    api::report_incident(IncidentKind::extent_type_value,
                         describe(offset, length, type) +
                             " has bits other than NBDKIT_EXTENT_HOLE and NBDKIT_EXTENT_ZERO");
  }
}

int refuse(IncidentKind kind, const std::string& why) {
  errno = ERANGE;
  api::report_error(why);
  api::report_incident(kind, why);
  return -1;
}

// Where realloc fails nbdkit says so, and the manual lets the plugin take it that
// the errno is set, too.
int out_of_memory(nbdkit_extents* extents) {
  // Who takes no notice may call again and again.
  if (!extents->exhausted) api::report_error("nbdkit_add_extent: realloc: Cannot allocate memory");
  extents->exhausted = true;
  if (auto* host = nbdcheck::current_host()) host->set_error(ENOMEM);
  errno = ENOMEM;
  return -1;
}

}  // namespace

NBDCHECK_API int nbdkit_add_extent(nbdkit_extents* extents, std::uint64_t offset,
                                   std::uint64_t length, std::uint32_t type) {
  if (!usable(extents, "nbdkit_add_extent")) {
    errno = EINVAL;
    return -1;
  }
  report_values(extents, offset, length, type);
  if (extents->room == 0) return out_of_memory(extents);
  --extents->room;
  switch (extents->list.add(offset, length, type)) {
    case ExtentList::Added::kept:
    case ExtentList::Added::ignored:
      return 0;
    case ExtentList::Added::dropped:
      api::report_incident(IncidentKind::extent_too_many,
                           describe(offset, length, type) + " is dropped: the list is full with " +
                               std::to_string(ExtentList::max_extents) + " extents");
      return 0;
    case ExtentList::Added::not_contiguous:
      return refuse(
          IncidentKind::extent_not_contiguous,
          describe(offset, length, type) + " does not start where the extent before it ended");
    case ExtentList::Added::gap_at_start:
      return refuse(IncidentKind::extent_none,
                    describe(offset, length, type) +
                        " is the first extent and starts after the requested offset " +
                        std::to_string(extents->list.start()));
  }
  return -1;
}

// --- for filters -------------------------------------------------------------

NBDCHECK_API nbdkit_extents* nbdkit_extents_new(std::uint64_t start, std::uint64_t end) {
  api::report_filter_function("nbdkit_extents_new");
  if (start >= largest_offset || end > largest_offset || start > end) {
    errno = ERANGE;
    api::report_error("nbdkit_extents_new: start " + std::to_string(start) + " or end " +
                      std::to_string(end) + " out of range");
    return nullptr;
  }
  return std::make_unique<nbdkit_extents>(nbdkit_extents{ExtentList(start, end)}).release();
}

NBDCHECK_API void nbdkit_extents_free(nbdkit_extents* extents) {
  api::report_filter_function("nbdkit_extents_free");
  if (extents == nullptr) return;
  if (auto* host = nbdcheck::current_host();
      host != nullptr && host->current_extents() == extents) {
    api::report_incident(IncidentKind::server_would_abort,
                         "nbdkit_extents_free on the list .extents was called with");
    return;
  }
  if (usable(extents, "nbdkit_extents_free")) const std::unique_ptr<nbdkit_extents> owner(extents);
}

NBDCHECK_API std::size_t nbdkit_extents_count(const nbdkit_extents* extents) {
  api::report_filter_function("nbdkit_extents_count");
  return usable(extents, "nbdkit_extents_count") ? extents->list.extents().size() : 0;
}

NBDCHECK_API nbdkit_extent nbdkit_get_extent(const nbdkit_extents* extents, std::size_t index) {
  api::report_filter_function("nbdkit_get_extent");
  if (!usable(extents, "nbdkit_get_extent")) return {};
  const auto& list = extents->list.extents();
  if (index >= list.size()) {
    api::report_incident(IncidentKind::server_would_abort,
                         "nbdkit_get_extent: index " + std::to_string(index) + " of " +
                             std::to_string(list.size()) + " extents");
    return {};
  }
  return {list[index].offset, list[index].length, list[index].type};
}

// These two call into the layer below, which a plugin does not have.
NBDCHECK_API nbdkit_extents* nbdkit_extents_full(nbdkit_next_ops* /*next*/, std::uint32_t /*count*/,
                                                 std::uint64_t /*offset*/, std::uint32_t /*flags*/,
                                                 int* error) {
  api::report_filter_function("nbdkit_extents_full");
  if (error != nullptr) *error = ENOTSUP;
  return nullptr;
}

NBDCHECK_API int nbdkit_extents_aligned(nbdkit_next_ops* /*next*/, std::uint32_t /*count*/,
                                        std::uint64_t /*offset*/, std::uint32_t /*flags*/,
                                        std::uint32_t /*align*/, nbdkit_extents* /*extents*/,
                                        int* error) {
  api::report_filter_function("nbdkit_extents_aligned");
  if (error != nullptr) *error = ENOTSUP;
  return -1;
}
