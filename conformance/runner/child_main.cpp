#include "runner/child_main.hpp"

#include <cstdlib>

#include "checks/check_run.hpp"
#include "checks/sequence_check.hpp"
#include "nbdcheck/sandbox.hpp"
#include "runner/probe.hpp"
#include "runner/wire.hpp"

namespace nbdcheck {
namespace {

// Runs the operations of a plan file and judges them.
void run_plan(CheckRun& run) {
  auto plan = plan_from_text(run.job().plan_text);
  if (!plan) {
    run.unknown("the plan cannot be read: " + plan.error());
    return;
  }
  SequenceOptions options = run.sequence_options();
  options.buffers = plan->buffers;
  if (run.job().trial) options.patience = 4;
  options.rules.reopens = false;
  if (run.subject().info.advertises_multi_conn) options.rules.shared = true;
  for (const Operation& op : plan->operations) {
    if (op.connection != 0) options.lanes = true;
    if (op.kind == OpKind::close || op.connection != 0) options.rules.reopens = true;
  }
  if (options.lanes && run.subject().thread_model == ThreadModel::serialize_connections) {
    run.unknown("the plan needs several connections; the plugin allows one at a time");
    return;
  }
  run_fixed_sequence(run, plan->operations, options);
}

}  // namespace

void run_job(const Job& job, const std::function<void(std::string_view)>& emit) {
  CheckRun::Output output;
  output.finding = [&](const Finding& finding, std::uint64_t length) {
    ChildEvent event{ChildEvent::Kind::finding, {}, finding, length, "", 0};
    emit(to_line(event));
  };
  output.unknown = [&](const std::string& reason) {
    emit(to_line({ChildEvent::Kind::unknown, {}, {}, 0, reason, 0}));
  };
  output.not_applicable = [&](const std::string& reason) {
    emit(to_line({ChildEvent::Kind::not_applicable, {}, {}, 0, reason, 0}));
  };
  CheckRun run(job, job.log_path, output);
  switch (job.kind) {
    case Job::Kind::probe:
      probe(run, [&](const Subject& subject) {
        emit(to_line({ChildEvent::Kind::subject, subject, {}, 0, "", 0}));
      });
      break;
    case Job::Kind::plan:
      run_plan(run);
      break;
    case Job::Kind::facts:
      if (const auto server = run.load(run.server_options())) {
        Subject subject;
        subject.plugin = server->plugin().facts();
        emit(to_line({ChildEvent::Kind::subject, subject, {}, 0, "", 0}));
      }
      break;
    case Job::Kind::check:
      if (const Check* check = find_check(job.check))
        check->run(run);
      else
        run.unknown("no check is called " + job.check);
      break;
  }
  run.report_incidents();
  emit(to_line({ChildEvent::Kind::done, {}, {}, 0, "", run.operations()}));
}

void child_main() {
  ChildSide& side = ChildSide::enter();
  if (const auto job = job_from_json(side.input()))
    run_job(*job, [&](std::string_view line) { side.emit(line); });
  side.finish();
  side.leave();
}

}  // namespace nbdcheck
