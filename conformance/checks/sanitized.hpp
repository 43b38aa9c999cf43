// Whether nbdcheck itself is built with a sanitizer, whose runtime needs what
// some checks take away: file descriptors to look at memory with, an exit() of
// a forked process without reports.
#pragma once

namespace nbdcheck {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool sanitized = true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
inline constexpr bool sanitized = true;
#else
inline constexpr bool sanitized = false;
#endif
#else
inline constexpr bool sanitized = false;
#endif

inline constexpr const char* why_sanitized = "nbdcheck is built with a sanitizer";

}  // namespace nbdcheck
