#include "execute/incidents.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace nbdcheck {
namespace {

// What a plugin may make us keep.
constexpr std::size_t longest_message = 1000;
constexpr std::size_t most_messages = 1000;

bool is_data_callback(Callback callback) {
  return callback >= Callback::pread && callback <= Callback::cache;
}

std::uint64_t bit(IncidentKind kind) {
  static_assert(static_cast<unsigned>(IncidentKind::count_) <= 64);
  return std::uint64_t{1} << static_cast<unsigned>(kind);
}

}  // namespace

std::string_view rule_of(IncidentKind kind, Callback callback) {
  // nbdkit_add_extent explains its own refusals; .extents passes them on.
  if (callback == Callback::extents &&
      (kind == IncidentKind::no_errno || kind == IncidentKind::errno_on_success ||
       kind == IncidentKind::errno_lost))
    return "";
  switch (kind) {
    case IncidentKind::return_value:
      return is_data_callback(callback) ? "data.return-value" : "lifecycle.return-value";
    case IncidentKind::bool_value:
      return "capability.bool-value";
    case IncidentKind::fua_value:
      return "capability.fua-value";
    case IncidentKind::cache_value:
      return "capability.cache-value";
    case IncidentKind::size_value:
      return "size.value";
    case IncidentKind::thread_model_value:
      return "abi.thread-model";
    case IncidentKind::block_size_unset:
    case IncidentKind::block_size_invalid:
      return "blocksize.valid";
    case IncidentKind::errno_not_positive:
      return "error.errno-positive";
    case IncidentKind::no_errno:
      return "error.errno";
    case IncidentKind::errno_on_success:
      return "error.set-on-success";
    case IncidentKind::errno_lost:
      return "error.lost-meaning";
    case IncidentKind::no_error_message:
      return is_data_callback(callback) ? "error.message" : "error.message-lifecycle";
    case IncidentKind::missing_callback:
      // nbdkit-plugin(3) ".can_cache": without .cache such requests succeed.
      if (callback == Callback::can_cache) return "";
      return callback == Callback::can_zero ? "capability.zero-present"
                                            : "capability.callback-present";
    case IncidentKind::fua_without_flush:
      return "capability.fua-needs-flush";
    case IncidentKind::extent_not_contiguous:
      return "extents.contiguous";
    case IncidentKind::extent_too_many:
      return "extents.cost";
    case IncidentKind::extent_wraps:
      return "extents.no-wrap";
    case IncidentKind::extent_type_value:
      return "extents.type";
    case IncidentKind::extent_none:
      return "extents.first-at-offset";
    case IncidentKind::extents_foreign:
      return "extents.own-list";
    case IncidentKind::buffer_overrun:
      return "data.buffer-overrun";
    case IncidentKind::buffer_unfilled:
      return "data.buffer-filled";
    case IncidentKind::config_modified:
      return "config.read-only";
    case IncidentKind::default_export_invalid:
    case IncidentKind::description_invalid:
    case IncidentKind::export_refused:
    case IncidentKind::exports_foreign:
    case IncidentKind::export_name_null:
      return "export.list";
    case IncidentKind::string_freed:
      return "export.returned-strings";
    case IncidentKind::nanosleep_too_early:
      return "lifecycle.no-early-sleep";
    case IncidentKind::filter_function:
      return "abi.no-filter-functions";
    case IncidentKind::no_context:
      return "lifecycle.connection-context";
    case IncidentKind::server_would_abort:
      return "lifecycle.server-abort";
    case IncidentKind::intern_race:
      return "concurrency.interning";
    case IncidentKind::count_:
      return "";
  }
  return "";
}

std::string_view fault_in_message(Callback where, std::string_view message) {
  // Elsewhere a message may quote what a user or a client sent.
  if (!is_data_callback(where) && where != Callback::config_complete &&
      where != Callback::get_ready && where != Callback::after_fork && where != Callback::get_size)
    return "";
  if (message.find_first_not_of(" \t\r\n") == std::string_view::npos) return "has no text";
  if (message.back() == '\n') return "ends with a newline";
  return "";
}

void IncidentCollector::on_error(Callback where, std::string_view message) {
  const std::lock_guard lock(mutex_);
  last_error_ = message.substr(0, longest_message);
  keep_message(message);
  const std::string_view fault = fault_in_message(where, message);
  if (fault.empty()) return;
  Violation violation;
  violation.rule = "error.message-format";
  violation.message =
      fmt::format("The message that .{} gives to nbdkit_error {}.", name(where), fault);
  violation.expected = "one line of text; nbdkit ends the line itself";
  violation.actual = fmt::format("\"{}\"", last_error_);
  keep(std::move(violation));
}

void IncidentCollector::on_debug(Callback /*where*/, std::string_view message) {
  const std::lock_guard lock(mutex_);
  keep_message(message);
}

void IncidentCollector::on_incident(const Incident& incident) {
  const std::lock_guard lock(mutex_);
  seen_ |= bit(incident.kind);
  if ((expected_ & bit(incident.kind)) != 0) return;
  // An errno that nbdkit does not take is not a missing one.
  if (incident.kind == IncidentKind::no_errno &&
      (seen_ & bit(IncidentKind::errno_not_positive)) != 0)
    return;
  const std::string_view rule = rule_of(incident.kind, incident.callback);
  if (rule.empty()) return;
  Violation violation;
  violation.rule = rule;
  violation.message = incident.text;
  keep(std::move(violation));
}

// REQUIRES: mutex_ held.
void IncidentCollector::keep(Violation violation) {
  if (std::find(known_rules_.begin(), known_rules_.end(), violation.rule) != known_rules_.end())
    return;
  known_rules_.push_back(violation.rule);
  fresh_.push_back(std::move(violation));
  news_.store(true, std::memory_order_relaxed);
}

// REQUIRES: mutex_ held.
void IncidentCollector::keep_message(std::string_view message) {
  if (keeps_messages_ && messages_.size() < most_messages)
    messages_.emplace_back(message.substr(0, longest_message));
}

void IncidentCollector::keep_messages() {
  const std::lock_guard lock(mutex_);
  keeps_messages_ = true;
  messages_.clear();
}

std::vector<std::string> IncidentCollector::messages() const {
  const std::lock_guard lock(mutex_);
  return messages_;
}

std::vector<Violation> IncidentCollector::take() {
  const std::lock_guard lock(mutex_);
  news_.store(false, std::memory_order_relaxed);
  return std::exchange(fresh_, {});
}

std::string IncidentCollector::last_error() const {
  const std::lock_guard lock(mutex_);
  return last_error_;
}

void IncidentCollector::forget_errors() {
  const std::lock_guard lock(mutex_);
  last_error_.clear();
}

void IncidentCollector::forget() {
  const std::lock_guard lock(mutex_);
  news_.store(false, std::memory_order_relaxed);
  fresh_.clear();
  known_rules_.clear();
  seen_ = 0;
  last_error_.clear();
}

bool IncidentCollector::seen(IncidentKind kind) const {
  const std::lock_guard lock(mutex_);
  return (seen_ & bit(kind)) != 0;
}

void IncidentCollector::expect(IncidentKind kind) {
  const std::lock_guard lock(mutex_);
  expected_ |= bit(kind);
}

}  // namespace nbdcheck
