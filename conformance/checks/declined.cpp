// A .zero that declines must say so by ENOTSUP or EOPNOTSUPP: on those two
// nbdkit writes zeroes through .pwrite instead, any other errno is the client's
// to see.  For .trim there is no other way, so there the two mean nothing.
// Any error is legal where the place itself is at fault.
#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <functional>

#include "checks/check_run.hpp"
#include "checks/client.hpp"
#include "checks/sequence_check.hpp"

namespace nbdcheck {
namespace {

class Declined {
 public:
  Declined(CheckRun& run, Client& client) : run_(run), client_(client) {}

  void judge(const Place& place) {
    const int error = zero(place, 0);
    if (error != 0) {
      // Written by hand the same zeroes are accepted, before and after.
      if (write_zeroes(place) && zero(place, 0) == error && write_zeroes(place))
        report("zero.decline-errno", place, "0", error,
               "success, or ENOTSUP or EOPNOTSUPP so that nbdkit uses .pwrite");
      return;
    }
    if (!run_.subject().info.can_fast_zero) return;
    const int fast = zero(place, command_flag::fast_zero);
    if (fast == 0 || fast == ENOTSUP || fast == EOPNOTSUPP) return;
    if (zero(place, 0) == 0 && zero(place, command_flag::fast_zero) == fast)
      report("zero.fast-errno", place, "NBDKIT_FLAG_FAST_ZERO", fast,
             "success, or ENOTSUP or EOPNOTSUPP at once");
  }

 private:
  int zero(const Place& place, std::uint32_t flags) {
    run_.count_operations(1);
    return client_.zero(place.count, place.offset, flags).error;
  }
  bool write_zeroes(const Place& place) {
    run_.count_operations(1);
    return client_.write(std::vector<std::byte>(place.count), place.offset).ok();
  }

  void report(const char* rule, const Place& place, const char* flags, int error,
              const char* expected) {
    Violation v;
    v.rule = rule;
    v.message = fmt::format(
        "zero(count={}, offset={}, flags={}) fails with {}, twice, though {} of the same range "
        "works.",
        place.count, place.offset, flags, ::strerrorname_np(error),
        *flags == '0' ? "pwrite of zeroes" : "zero without the flag");
    v.expected = expected;
    v.actual = fmt::format("{} ({}): {}", ::strerrorname_np(error), std::strerror(error),
                           run_.incidents().last_error());
    run_.violated(std::move(v));
  }

  CheckRun& run_;
  Client& client_;
};

void judge_trim(CheckRun& run, Client& client, const Place& place) {
  Reply reply;
  client.run([&](Connection& connection) { reply = connection.trim(place.count, place.offset); });
  run.count_operations(1);
  if (reply.error != ENOTSUP && reply.error != EOPNOTSUPP) return;
  Violation v;
  v.rule = "trim.errno";
  v.message = fmt::format(
      "trim(count={}, offset={}) fails with {}, which nbdkit does not pass on: the client is told "
      "EINVAL.",
      place.count, place.offset, ::strerrorname_np(reply.error));
  v.expected = "0 without doing anything (a trim is a hint), or .can_trim returns 0";
  v.actual = "error: " + run.incidents().last_error();
  run.violated(std::move(v));
}

// Serves one client and lets `judge` look at a few places through it.
void at_sample_places(CheckRun& run, const std::function<void(Client&, const Place&)>& judge) {
  const auto server = run.serve();
  if (!server) return;
  {
    Client client(*server);
    if (!client.open(run.request().export_name)) return run.failed_to_start(client.failure());
    for (const Place& place : sample_places(run.subject())) judge(client, place);
  }
  server->stop();
  run.report_incidents();
}

std::string zero_not_applicable(const Subject& subject) {
  if (subject.info.zero != zero_native) return "no .zero";
  return needs_writing(subject);
}

std::string trim_not_applicable(const Subject& subject) {
  if (!subject.info.can_trim) return "no .trim";
  return needs_writing(subject);
}

const Registration zero{{
    .id = "zero.declined",
    .summary = "a .zero that declines does so by the two errnos that mean it",
    .rules = {"zero.decline-errno", "zero.fast-errno"},
    .not_applicable = zero_not_applicable,
    .run =
        [](CheckRun& run) {
          at_sample_places(
              run, [&](Client& client, const Place& place) { Declined(run, client).judge(place); });
        },
}};

const Registration trim{{
    .id = "trim.declined",
    .summary = "a .trim that cannot does nothing, rather than fail with ENOTSUP",
    .rules = {"trim.errno"},
    .not_applicable = trim_not_applicable,
    .run =
        [](CheckRun& run) {
          at_sample_places(
              run, [&](Client& client, const Place& place) { judge_trim(run, client, place); });
        },
}};

}  // namespace
}  // namespace nbdcheck
