// The words for the values of finding.hpp, subject.hpp, job.hpp and event.hpp.
#include <algorithm>

#include "finding.hpp"
#include "job.hpp"
#include "report/event.hpp"
#include "subject.hpp"

namespace nbdcheck {

std::string_view name(Severity severity) {
  switch (severity) {
    case Severity::quality:
      return "QUALITY";
    case Severity::should:
      return "SHOULD";
    case Severity::must:
      return "MUST";
  }
  return "unknown";
}

std::string_view name(Persistence persistence) {
  switch (persistence) {
    case Persistence::unknown:
      return "unknown";
    case Persistence::shared:
      return "shared";
    case Persistence::per_connection:
      return "per-connection";
  }
  return "unknown";
}

std::string_view name(Effort effort) {
  switch (effort) {
    case Effort::quick:
      return "quick";
    case Effort::standard:
      return "standard";
    case Effort::thorough:
      return "thorough";
  }
  return "unknown";
}

std::string_view name(WaiverState state) {
  switch (state) {
    case WaiverState::used:
      return "used";
    case WaiverState::unneeded:
      return "unneeded";
    case WaiverState::expired:
      return "expired";
    case WaiverState::not_checked:
      break;
  }
  return "not-checked";
}

std::string_view name(Status status) {
  switch (status) {
    case Status::passed:
      return "passed";
    case Status::failed:
      return "failed";
    case Status::skipped:
      return "skipped";
    case Status::crashed:
      return "crashed";
    case Status::hung:
      return "hung";
    case Status::unknown:
      return "unknown";
  }
  return "unknown";
}

int badness(Status status) {
  switch (status) {
    case Status::skipped:
    case Status::passed:
      return 0;
    case Status::unknown:
      return 1;
    case Status::hung:
    case Status::crashed:
      return 2;
    case Status::failed:
      return 3;
  }
  return 1;
}

std::string_view name(Verdict verdict) {
  switch (verdict) {
    case Verdict::conformant:
      return "conformant";
    case Verdict::nonconformant:
      return "nonconformant";
    case Verdict::error:
      return "error";
    case Verdict::nothing_checked:
      return "nothing-checked";
  }
  return "unknown";
}

int RunSummary::exit_code() const {
  switch (verdict) {
    case Verdict::conformant:
      return 0;
    case Verdict::nonconformant:
      return 1;
    case Verdict::error:
      return 3;
    case Verdict::nothing_checked:
      return 4;
  }
  return 3;
}

bool Subject::has(std::string_view callback) const {
  return std::find(plugin.has.begin(), plugin.has.end(), callback) != plugin.has.end();
}

void Subject::add(const Subject& second) {
  external_storage = second.external_storage;
  connections_seen = second.connections_seen;
  more_wait = second.more_wait;
}

unsigned Subject::together(unsigned connections) const {
  if (thread_model == ThreadModel::serialize_connections) return std::min(connections, 1U);
  return more_wait ? std::min(connections, connections_seen) : connections;
}

std::uint64_t Subject::maximum_request() const {
  const std::uint64_t announced = info.block_size ? info.block_size->maximum : 0;
  return announced == 0 ? max_request_size : std::min<std::uint64_t>(announced, max_request_size);
}

std::uint64_t Subject::usual_request() const {
  constexpr std::uint64_t usual = 4096;
  const std::uint64_t block = minimum_block();
  return std::max(block, std::min(usual, maximum_request()) / block * block);
}

std::uint64_t Subject::minimum_block() const {
  return info.block_size && info.block_size->minimum != 0 ? info.block_size->minimum : 1;
}

}  // namespace nbdcheck
