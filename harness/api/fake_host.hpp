// A Host for the tests of the nbdkit_* functions: it writes down what reaches
// it and answers what the test sets.
#pragma once

#include <cerrno>
#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "api/host.hpp"

namespace nbdcheck {

class FakeHost final : public Host {
 public:
  FakeHost() { set_current_host(this); }
  ~FakeHost() override { set_current_host(nullptr); }
  FakeHost(const FakeHost&) = delete;
  FakeHost& operator=(const FakeHost&) = delete;

  void error(std::string_view text) override {
    errno = 4711;  // a host need not keep errno; the functions must
    errors.emplace_back(text);
  }
  void debug(std::string_view text) override { debugs.emplace_back(text); }
  [[nodiscard]] bool verbose() const override { return is_verbose; }
  void incident(IncidentKind kind, std::string text) override {
    incidents.emplace_back(kind, std::move(text));
  }
  void set_error(int error) override { last_error = error; }
  const char* export_name() override { return connected ? "export" : nullptr; }
  int is_tls() override { return connected ? 0 : -1; }
  [[nodiscard]] bool has_connection() const override { return connected; }
  const char* intern(std::string_view text) override { return interned.emplace_back(text).c_str(); }
  [[nodiscard]] bool stdio_safe() const override { return is_stdio_safe; }
  void shutdown() override { shutdowns++; }
  void disconnect(bool force) override { disconnects.push_back(force); }
  int nanosleep(unsigned seconds, unsigned nanoseconds) override {
    sleeps.emplace_back(seconds, nanoseconds);
    return 0;
  }
  nbdkit_extents* current_extents() override { return extents; }
  nbdkit_exports* current_exports() override { return exports; }

  [[nodiscard]] bool saw(IncidentKind kind) const {
    for (const auto& incident : incidents) {
      if (incident.first == kind) return true;
    }
    return false;
  }

  std::vector<std::string> errors;
  std::vector<std::string> debugs;
  std::vector<std::pair<IncidentKind, std::string>> incidents;
  std::deque<std::string> interned;
  std::vector<bool> disconnects;
  std::vector<std::pair<unsigned, unsigned>> sleeps;
  int last_error = -1;
  int shutdowns = 0;
  bool connected = false;
  bool is_verbose = false;
  bool is_stdio_safe = true;
  nbdkit_extents* extents = nullptr;
  nbdkit_exports* exports = nullptr;
};

}  // namespace nbdcheck
