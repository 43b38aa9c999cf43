#include "runner/child_main.hpp"

#include <cstdlib>

#include "checks/check_run.hpp"
#include "instruments/options.hpp"
#include "nbdcheck/sandbox.hpp"
#include "runner/plan_job.hpp"
#include "runner/probe.hpp"
#include "runner/reproduce.hpp"
#include "runner/wire.hpp"

namespace nbdcheck {

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
  output.remark = [&](const std::string& text) {
    emit(to_line({ChildEvent::Kind::remark, {}, {}, 0, text, 0}));
  };
  output.schedule = [&](const std::string& text) {
    emit(to_line({ChildEvent::Kind::schedule, {}, {}, 0, text, 0}));
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
    case Job::Kind::reproduce:
      reproduce(job, emit);
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
  watch_leaks();
  if (const auto job = job_from_json(side.input()))
    run_job(*job, [&](std::string_view line) { side.emit(line); });
  side.finish();
  side.leave();
}

}  // namespace nbdcheck
