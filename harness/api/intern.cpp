// nbdkit-plugin(3) "STRING LIFETIME": strings the server owns.
#include <cstring>
#include <forward_list>
#include <memory>
#include <mutex>

#include "api/api.hpp"

using nbdcheck::current_host;
namespace api = nbdcheck::api;

namespace {

// Where there is no server the strings live as long as the process.
const char* keep_for_ever(std::string_view text) {
  struct Kept {
    std::mutex mutex;
    std::forward_list<std::string> strings;
  };
  static Kept& kept = *std::make_unique<Kept>().release();  // outlives static destructors
  const std::lock_guard lock(kept.mutex);
  return kept.strings.emplace_front(text).c_str();
}

const char* intern(std::string_view text) {
  auto* host = current_host();
  return host != nullptr ? host->intern(text) : keep_for_ever(text);
}

const char* refuse_null(const char* function) {
  errno = EINVAL;
  api::report_error(std::string(function) + ": no string given");
  return nullptr;
}

}  // namespace

NBDCHECK_API const char* nbdkit_strdup_intern(const char* text) {
  return text == nullptr ? refuse_null("nbdkit_strdup_intern") : intern(text);
}

NBDCHECK_API const char* nbdkit_strndup_intern(const char* text, std::size_t size) {
  if (text == nullptr) return refuse_null("nbdkit_strndup_intern");
  return intern({text, strnlen(text, size)});
}

NBDCHECK_API NBDCHECK_PRINTF(1, 0) const
    char* nbdkit_vprintf_intern(const char* message, va_list args) {
  return intern(api::format(message, args));
}

NBDCHECK_API NBDCHECK_PRINTF(1, 2) const char* nbdkit_printf_intern(const char* message, ...) {
  va_list args;
  va_start(args, message);
  const char* text = nbdkit_vprintf_intern(message, args);
  va_end(args);
  return text;
}
