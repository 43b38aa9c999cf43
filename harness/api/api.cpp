#include "api/api.hpp"

#include <array>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

namespace nbdcheck {
namespace {

std::atomic<Host*> the_host{nullptr};

}  // namespace

Host* current_host() { return the_host.load(std::memory_order_acquire); }
void set_current_host(Host* host) { the_host.store(host, std::memory_order_release); }

}  // namespace nbdcheck

namespace nbdcheck::api {

std::string format(const char* message, va_list args) {
  const KeepErrno keep;
  const int error = errno;
  va_list measured;
  va_copy(measured, args);
  std::array<char, 256> small{};
  const int length = std::vsnprintf(small.data(), small.size(), message, measured);
  va_end(measured);
  if (length < 0) return message;  // an unencodable %ls: better the bare text than nothing
  const auto size = static_cast<std::size_t>(length);
  if (size < small.size()) return {small.data(), size};
  std::string text(size + 1, '\0');
  errno = error;
  std::vsnprintf(text.data(), text.size(), message, args);
  text.resize(size);
  return text;
}

void report_error(std::string_view text) {
  const KeepErrno keep;
  if (Host* host = current_host(); host != nullptr) {
    host->error(text);
  } else {
    std::fprintf(stderr, "nbdkit: error: %.*s\n", static_cast<int>(text.size()), text.data());
  }
}

void report_debug(std::string_view text) {
  const KeepErrno keep;
  if (Host* host = current_host(); host != nullptr) host->debug(text);
}

bool verbose() {
  const Host* host = current_host();
  return host != nullptr && host->verbose();
}

void report_incident(IncidentKind kind, std::string text) {
  const KeepErrno keep;
  if (Host* host = current_host(); host != nullptr) host->incident(kind, std::move(text));
}

char* copy_for_caller(std::string_view text) {
  // The C API hands ownership to the plugin, which calls free(3).
  auto* copy = static_cast<char*>(std::malloc(text.size() + 1));
  if (copy == nullptr) {
    report_error("malloc: out of memory");
    return nullptr;
  }
  if (!text.empty()) std::memcpy(copy, text.data(), text.size());
  copy[text.size()] = '\0';
  return copy;
}

std::string quoted(std::string_view text) {
  constexpr std::size_t longest = 64;
  std::string result = "\"";
  for (const char c : text.substr(0, longest)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f || c == '"' || c == '\\') {
      std::array<char, 8> escape{};
      std::snprintf(escape.data(), escape.size(), "\\x%02x", byte);
      result += escape.data();
    } else {
      result += c;
    }
  }
  if (text.size() > longest) result += "...";
  return result + '"';
}

}  // namespace nbdcheck::api
