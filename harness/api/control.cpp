// What a plugin may ask of the server itself: nbdkit_stdio_safe(3),
// nbdkit_nanosleep(3), nbdkit_shutdown(3), nbdkit_disconnect(3).
#include <climits>
#include <cstdint>

#include "api/api.hpp"
#include "api/later.hpp"

using nbdcheck::current_host;
namespace api = nbdcheck::api;

NBDCHECK_API int nbdkit_stdio_safe() {
  const auto* host = current_host();
  return host == nullptr || host->stdio_safe() ? 1 : 0;
}

NBDCHECK_API int nbdkit_nanosleep(unsigned seconds, unsigned nanoseconds) {
  constexpr unsigned per_second = 1'000'000'000;
  // nbdkit sleeps in poll(2), whose time-out is an int.
  const std::uint64_t total = std::uint64_t{seconds} + nanoseconds / per_second;
  if (total >= INT_MAX) {
    errno = EINVAL;
    api::report_error("nbdkit_nanosleep: " + std::to_string(total) + " seconds is too long");
    return -1;
  }
  auto* host = current_host();
  if (host == nullptr) {
    errno = ESHUTDOWN;
    api::report_error("nbdkit_nanosleep: no server is running");
    return -1;
  }
  return host->nanosleep(static_cast<unsigned>(total), nanoseconds % per_second);
}

NBDCHECK_API void nbdkit_shutdown() {
  if (auto* host = current_host(); host != nullptr) host->shutdown();
}

NBDCHECK_API void nbdkit_disconnect(int force) {
  if (auto* host = current_host(); host != nullptr) host->disconnect(force != 0);
}
