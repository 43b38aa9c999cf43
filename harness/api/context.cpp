// Questions about the connection: nbdkit_export_name(3), nbdkit_is_tls(3),
// nbdkit_peer_name(3) and relatives.  The client of an in-process server is
// this process, as if connected through a Unix domain socket.
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "api/api.hpp"
#include "api/later.hpp"

using nbdcheck::current_host;
namespace api = nbdcheck::api;

namespace {

bool connected(const char* function) {
  const auto* host = current_host();
  if (host != nullptr && host->has_connection()) return true;
  api::report_error(std::string(function) + ": no connection in this thread");
  return false;
}

// A socket of ours connected to ourselves, for what only the kernel knows.
class OwnSocket {
 public:
  OwnSocket() {
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends_.data()) != 0) ends_ = {-1, -1};
  }
  ~OwnSocket() {
    for (const int end : ends_) {
      if (end >= 0) close(end);
    }
  }
  OwnSocket(const OwnSocket&) = delete;
  OwnSocket& operator=(const OwnSocket&) = delete;
  [[nodiscard]] int fd() const { return ends_[0]; }

 private:
  std::array<int, 2> ends_{-1, -1};
};

}  // namespace

NBDCHECK_API const char* nbdkit_export_name() {
  if (auto* host = current_host(); host != nullptr) return host->export_name();
  api::report_error("nbdkit_export_name: no connection in this thread");
  return nullptr;
}

NBDCHECK_API int nbdkit_is_tls() {
  if (auto* host = current_host(); host != nullptr) return host->is_tls();
  api::report_error("nbdkit_is_tls: no connection in this thread");
  return -1;
}

NBDCHECK_API int nbdkit_peer_name(sockaddr* address, socklen_t* length) {
  if (!connected("nbdkit_peer_name")) return -1;
  // A client does not bind its Unix socket: the address is the family alone,
  // and getpeername(2) cuts it to the caller's room but tells the true length.
  constexpr sa_family_t family = AF_UNIX;
  std::memcpy(address, &family, std::min<std::size_t>(*length, sizeof family));
  *length = sizeof family;
  return 0;
}

NBDCHECK_API std::int64_t nbdkit_peer_pid() {
  return connected("nbdkit_peer_pid") ? std::int64_t{getpid()} : -1;
}
NBDCHECK_API std::int64_t nbdkit_peer_uid() {
  return connected("nbdkit_peer_uid") ? std::int64_t{geteuid()} : -1;
}
NBDCHECK_API std::int64_t nbdkit_peer_gid() {
  return connected("nbdkit_peer_gid") ? std::int64_t{getegid()} : -1;
}

NBDCHECK_API char* nbdkit_peer_security_context() {
  if (!connected("nbdkit_peer_security_context")) return nullptr;
  const OwnSocket socket;
  std::array<char, 4096> label{};
  socklen_t length = label.size() - 1;
  if (getsockopt(socket.fd(), SOL_SOCKET, SO_PEERSEC, label.data(), &length) != 0) {
    api::report_error(std::string("nbdkit_peer_security_context: ") + std::strerror(errno));
    return nullptr;
  }
  return api::copy_for_caller(label.data());
}

// Without TLS there is no distinguished name, which is the empty string.
NBDCHECK_API char* nbdkit_peer_tls_dn() {
  return connected("nbdkit_peer_tls_dn") ? api::copy_for_caller("") : nullptr;
}
NBDCHECK_API char* nbdkit_peer_tls_issuer_dn() {
  return connected("nbdkit_peer_tls_issuer_dn") ? api::copy_for_caller("") : nullptr;
}
