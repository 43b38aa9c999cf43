// From what the harness noticed to the rule it breaks.
#pragma once

#include <atomic>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "history.hpp"
#include "nbdcheck/observer.hpp"

namespace nbdcheck {

// The rule that an incident of this kind in this callback breaks; "" when it
// breaks none.
std::string_view rule_of(IncidentKind kind, Callback callback);

// What is wrong with the form of a message that the plugin itself worded, in
// this callback: "ends with a newline"; "" when nothing is.
std::string_view fault_in_message(Callback where, std::string_view message);

// Keeps the first incident of each rule and the last words of the plugin.
class IncidentCollector final : public Observer {
 public:
  void on_error(Callback where, std::string_view message) override;
  // Called for a server that is verbose.
  void on_debug(Callback where, std::string_view message) override;
  void on_incident(const Incident& incident) override;

  [[nodiscard]] bool has_news() const { return news_.load(std::memory_order_relaxed); }
  // What came since the last call.
  std::vector<Violation> take();

  // The last message of nbdkit_error, "" when there was none.
  [[nodiscard]] std::string last_error() const;
  void forget_errors();
  // As if nothing had been noticed so far.
  void forget();
  // From now on the messages of nbdkit_error and nbdkit_debug are kept; those that
  // were are forgotten.
  void keep_messages();
  [[nodiscard]] std::vector<std::string> messages() const;
  // Whether incidents of `kind` have been seen, taken or not.
  [[nodiscard]] bool seen(IncidentKind kind) const;
  // From now on incidents of this kind are not reported: the check provokes
  // them itself.
  void expect(IncidentKind kind);

 private:
  void keep(Violation violation);
  void keep_message(std::string_view message);

  mutable std::mutex mutex_;
  std::atomic<bool> news_ = false;
  std::vector<Violation> fresh_;
  std::vector<std::string> known_rules_;
  std::uint64_t seen_ = 0;
  std::uint64_t expected_ = 0;
  std::string last_error_;
  bool keeps_messages_ = false;
  std::vector<std::string> messages_;
};

}  // namespace nbdcheck
