// Requests that the server answers by itself or at its limits: outside of the
// export, of no length, not offered, read-only.  The real nbdkit must refuse
// what we refuse, with the same errno.
#include <fmt/format.h>

#include <cerrno>

#include "checks/beside_nbdkit.hpp"
#include "checks/sequence_check.hpp"
#include "execute/observed_target.hpp"
#include "execute/send.hpp"
#include "judge/three_way.hpp"
#include "nbdcheck/status_page.hpp"

namespace nbdcheck::checks::differential_requests {
namespace {

constexpr std::uint64_t far_away = std::uint64_t{1} << 62;

Reply perform(Session& session, const Operation& op) {
  std::vector<std::byte> data(op.count + 1U);  // libnbd refuses a null pointer
  return send(session, op, std::span(data).first(op.count), session.info().size);
}

// None of them reaches a plugin, so that nothing is changed.
std::vector<Operation> refused_requests(const Subject& subject) {
  const ExportInfo& info = subject.info;
  std::vector<Operation> all;
  const auto add = [&](OpKind kind, std::uint64_t offset, std::uint32_t count,
                       std::uint32_t flags = 0) {
    Operation op{.kind = kind, .flags = static_cast<std::uint8_t>(flags), .count = count};
    op.offset = offset;
    all.push_back(op);
  };
  for (const OpKind kind :
       {OpKind::read, OpKind::write, OpKind::trim, OpKind::zero, OpKind::cache, OpKind::extents}) {
    add(kind, info.size, 512);
    if (info.size > 0) add(kind, info.size - 1, 2);
    add(kind, 0, 0);
    if (info.size <= far_away) add(kind, far_away, 512);
    if (info.fua == fua_none && kind != OpKind::extents && kind != OpKind::cache)
      add(kind, 0, 512, command_flag::fua);
    const bool modification = modifies(kind);
    if (modification && !info.can_write) add(kind, 0, 512);
  }
  if (info.can_write && !info.can_trim) add(OpKind::trim, 0, 512);
  if (!info.can_flush) add(OpKind::flush, 0, 0);
  if (info.cache == cache_none) add(OpKind::cache, 0, 512);
  return all;
}

void compare(CheckRun& run, Server& server, NbdkitProcess& nbdkit) {
  InProcessTarget inner_ours(server);
  NbdkitTarget inner_theirs(nbdkit);
  ObservedTarget ours_target(inner_ours);
  ObservedTarget theirs_target(inner_theirs);
  const auto ours = ours_target.open(run.request().export_name);
  const auto theirs = theirs_target.open(run.request().export_name);
  if (!ours || !theirs) {
    if (const auto trouble = nbdkit.trouble()) return report_trouble(run, *trouble, false);
    return run.unknown("the export cannot be opened");
  }
  for (const Operation& op : refused_requests(run.subject())) {
    perform(**ours, op);
    perform(**theirs, op);
    run.count_operations(1);
    const Observation mine = ours_target.take();
    const Observation other = theirs_target.take();
    if (other.error == ENOTCONN && !other.reached_plugin) {
      if (const auto trouble = nbdkit.trouble()) return report_trouble(run, *trouble, false);
      return run.unknown(
          fmt::format("{} did not answer {}", nbdkit_name(run.request()), describe(op)));
    }
    const auto difference =
        three_way(op, {mine, false}, {other, false}, nbdkit_name(run.request()));
    if (difference) return run.unknown(difference->words);
  }
}

const Registration registration{{
    .id = "differential.requests",
    .summary = "the real nbdkit refuses the same requests, with the same errno",
    .rules = {"differential.nbdkit-survives"},
    .not_applicable = {},
    .run =
        [](CheckRun& run) {
          beside_nbdkit(run, [&](Server& ours, NbdkitProcess& theirs) {
            set_phase("comparing requests that are refused");
            on_connection_thread([&] { compare(run, ours, theirs); });
            return true;
          });
        },
    .beside_nbdkit = true,
}};

}  // namespace
}  // namespace nbdcheck::checks::differential_requests
