#include "runner/plan_job.hpp"

#include <fmt/format.h>

#include <bitset>

#include "checks/beside_nbdkit.hpp"
#include "checks/concurrent_check.hpp"
#include "checks/sequence_check.hpp"
#include "execute/second_look.hpp"
#include "nbdcheck/status_page.hpp"

namespace nbdcheck {
namespace {

std::string not_offered(const Operation& op, const ExportInfo& info) {
  if (modifies(op.kind) && !info.can_write) return "the export is read-only";
  if (op.kind == OpKind::trim && !info.can_trim) return "trim is not offered";
  if (op.kind == OpKind::zero && info.zero == zero_none) return "zero is not offered";
  if (op.kind == OpKind::flush && !info.can_flush) return "flush is not offered";
  if (op.kind == OpKind::cache && info.cache == cache_none) return "cache is not offered";
  if ((op.flags & command_flag::fua) != 0 && info.fua == fua_none) return "FUA is not offered";
  if ((op.flags & command_flag::fast_zero) != 0 && !info.can_fast_zero)
    return "FAST_ZERO is not offered";
  return "";
}

void on_nbdkit(CheckRun& run, const Plan& plan, const SequenceOptions& options) {
  set_phase("starting the real nbdkit");
  auto nbdkit = NbdkitProcess::start(nbdkit_program(run.request()),
                                     nbdkit_options(run, run.request().arguments));
  if (!nbdkit) return report_trouble(run, nbdkit.error(), false);
  set_phase("running the plan in the real nbdkit");
  on_connection_thread([&] {
    NbdkitTarget target(**nbdkit);
    SequenceRunner sequence(target, run.subject(), options);
    std::size_t number = 0;
    for (const Operation& op : plan.operations) {
      ++number;
      run.log().append(op);
      auto violation = sequence.step(op);
      run.count_operations(1);
      const std::string lost = lost_connection(sequence, op.connection);
      if (!lost.empty() || (op.kind == OpKind::open && !sequence.is_open(op.connection))) {
        if (const auto trouble = (*nbdkit)->trouble())
          report_trouble(run, *trouble, true);
        else
          run.unknown(fmt::format("{}: operation {}, {}: {}", nbdkit_name(run.request()), number,
                                  describe(op), lost.empty() ? sequence.open_failure() : lost));
        break;
      }
      if (!violation) continue;
      run.violated_in_sequence(std::move(*violation));
      break;
    }
    sequence.close_all();
  });
  stop_nbdkit(run, **nbdkit);
}

}  // namespace

std::string where_it_diverges(const Plan& plan, const Subject& subject) {
  std::bitset<256> open;
  std::size_t number = 0;
  for (const Operation& op : plan.operations) {
    ++number;
    std::string why = not_offered(op, subject.info);
    if (op.kind == OpKind::open)
      open.set(op.connection);
    else if (!open.test(op.connection))
      why = "its connection is not open";
    if (op.kind == OpKind::close) open.reset(op.connection);
    const std::uint64_t size = subject.info.size;
    if (has_range(op.kind) && (op.offset > size || op.count > size - op.offset))
      why = fmt::format("the export has {} bytes", size);
    if (!why.empty()) return fmt::format("operation {}, {}: {}", number, describe(op), why);
  }
  return "";
}

void run_plan(CheckRun& run) {
  const auto plan = plan_from_text(run.job().plan_text);
  if (!plan) {
    run.unknown("the plan cannot be read: " + plan.error());
    return;
  }
  if (concurrent(plan->operations)) return run_concurrent_plan(run, *plan);
  SequenceOptions options = run.sequence_options();
  options.buffers = plan->buffers;
  if (run.job().trial) options.patience = 4;
  // Over NBD errors have other names.
  options.second_look = takes_second_look(plan->rule) && run.job().where != Job::Where::nbdkit;
  options.rules.reopens = false;
  if (run.subject().info.advertises_multi_conn) options.rules.shared = true;
  for (const Operation& op : plan->operations) {
    if (op.connection != 0) options.lanes = true;
    if (op.kind == OpKind::close || op.connection != 0) options.rules.reopens = true;
  }
  if (options.lanes && run.subject().together(2) < 2) {
    run.unknown("the plan needs several connections; the plugin allows one at a time");
    return;
  }
  if (run.job().where == Job::Where::nbdkit)
    on_nbdkit(run, *plan, options);
  else
    run_fixed_sequence(run, plan->operations, options);
  if (run.job().trial) return;  // shrinking leaves out what others need
  if (const auto where = where_it_diverges(*plan, run.subject()); !where.empty())
    run.unknown("the plan no longer applies from " + where);
}

}  // namespace nbdcheck
