// What a .zero and a .trim say when they decline.  Any error is legal where the
// place itself is at fault.
#include <functional>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "checks/check_run.hpp"
#include "checks/client.hpp"
#include "checks/sequence_check.hpp"
#include "execute/second_look.hpp"
#include "execute/send.hpp"

namespace nbdcheck::checks::declined {
namespace {

using Look = std::function<std::optional<Violation>(const Operation&, const Asker&)>;

// Serves one client and looks at a few places through it.
void at_sample_places(CheckRun& run, OpKind kind, const Look& look) {
  const auto server = run.serve();
  if (!server) return;
  {
    Client client(*server);
    if (!client.open(run.request().export_name)) return run.failed_to_start(client.failure());
    const auto ask = [&](const Operation& op) {
      // What is written are zeroes.
      std::vector<std::byte> data(op.kind == OpKind::write ? op.count : 0);
      Reply reply;
      client.run([&](Connection& connection) {
        reply = send(connection, op, data, run.subject().info.size);
      });
      run.count_operations(1);
      return reply.error;
    };
    const Asker asker{ask, [&] { return run.incidents().last_error(); }};
    for (const Place& place : sample_places(run.subject())) {
      Operation op{.kind = kind};
      op.offset = place.offset;
      op.count = place.count;
      if (auto violation = look(op, asker)) run.violated(*std::move(violation));
    }
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
          at_sample_places(run, OpKind::zero, [&](const Operation& op, const Asker& asker) {
            return look_at_zero(op, run.subject().info.can_fast_zero, asker);
          });
        },
}};

const Registration trim{{
    .id = "trim.declined",
    .summary = "a .trim that cannot does nothing, rather than fail with ENOTSUP",
    .rules = {"trim.errno"},
    .not_applicable = trim_not_applicable,
    .run = [](CheckRun& run) { at_sample_places(run, OpKind::trim, look_at_trim); },
}};

}  // namespace
}  // namespace nbdcheck::checks::declined
