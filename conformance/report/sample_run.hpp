// Runs for the tests of the listeners.
#pragma once

#include <string>
#include <vector>

#include "report/event.hpp"

namespace nbdcheck::sample {

inline Subject memory_plugin() {
  Subject subject;
  subject.plugin.path = "/usr/lib/nbdkit/plugins/nbdkit-memory-plugin.so";
  subject.plugin.name = "memory";
  subject.plugin.version = "1.32.5";
  subject.plugin.api_version = 2;
  subject.sha256 = std::string(64, 'a');
  subject.thread_model = ThreadModel::parallel;
  subject.info.size = 1U << 30;
  subject.info.can_write = true;
  subject.persistence = Persistence::shared;
  return subject;
}

inline CheckResult check(std::string id, Status status, double seconds, std::uint64_t operations,
                         std::string reason = "") {
  CheckResult result;
  result.rules = {id + "-rule"};
  result.id = std::move(id);
  result.status = status;
  result.reason = std::move(reason);
  result.seconds = seconds;
  result.operations = operations;
  result.processes = status == Status::skipped ? 0 : 1;
  return result;
}

inline Finding stale_read() {
  Finding finding;
  finding.rule = "data.read-your-writes";
  finding.severity = Severity::must;
  finding.check = "data.random";
  finding.title = "A read returns what was last written";
  finding.message =
      "The read of 512 bytes at offset 4294967296 returned bytes of another write: the plugin "
      "seems to keep offsets in 32 bits.";
  finding.expected = "bytes of call 2 from offset 4294967296";
  finding.actual = "bytes of call 1, which wrote offset 0\nand of nothing else";
  finding.details = {"first difference at offset 4294967296:",
                     "  100000000  41 42 43 44 45 46 47 48  |ABCDEFGH|"};
  Plan plan;
  plan.check = finding.check;
  Operation write{OpKind::write, Payload::tags, 0, 0, 512, 0, 1};
  plan.operations.push_back({OpKind::open, Payload::tags, 0, 0, 0, 0, 0});
  plan.operations.push_back(write);
  write.offset = std::uint64_t{1} << 32;
  write.tag = 2;
  write.flags = command_flag::fua;
  plan.operations.push_back(write);
  plan.operations.push_back({OpKind::read, Payload::tags, 0, 0, 512, std::uint64_t{1} << 32, 0});
  finding.plan = plan;
  finding.original_operations = 40213;
  finding.occurrences = 3;
  finding.plan_path = "nbdcheck-artifacts/data.read-your-writes.plan";
  finding.replay_command = "nbdcheck replay nbdcheck-artifacts/data.read-your-writes.plan";
  return finding;
}

inline RunSummary conformant() {
  RunSummary run;
  run.plugin_as_given = "memory";
  run.arguments_as_given = {"size=1G"};
  run.request.seed = 42;
  run.subject = memory_plugin();
  run.checks = {check("abi.load", Status::passed, 0.01, 0),
                check("data.random", Status::passed, 1.25, 812004),
                check("data.reopen", Status::passed, 0.3, 1200),
                check("trim.random", Status::skipped, 0, 0, "no .trim")};
  run.notes = {"disk.img was copied; only the copy is written to"};
  run.verdict = Verdict::conformant;
  run.seconds = 1.9;
  run.time.start_up = {0.2, 2};
  run.time.checks = {1.56, 4};
  run.time.shrinking = {1.5, 37};
  run.time.idle = 0.34;
  run.time.jobs = 2;
  run.operations = 1204331;
  run.rules_total = 71;
  run.rules_checked = 58;
  run.rules_not_applicable = 13;
  run.not_applicable_reasons = {"no .trim", "read-only"};
  return run;
}

inline RunSummary nonconformant() {
  RunSummary run = conformant();
  run.checks[1].status = Status::failed;
  run.checks.push_back(check("handle.many", Status::crashed, 0.1, 3));
  run.checks.push_back(check("zero.random", Status::unknown, 5, 77, "over its time budget"));
  run.findings = {stale_read()};
  Finding hint;
  hint.rule = "extents.coarse";
  hint.severity = Severity::should;
  hint.check = "extents.map";
  hint.title = "Extents are told in pieces of some size";
  hint.message = "Every extent has one byte.";
  run.findings.push_back(hint);
  run.verdict = Verdict::nonconformant;
  run.rules_checked = 50;
  return run;
}

// One finding waived, and waivers that are of no use any more.
inline RunSummary waived() {
  RunSummary run = nonconformant();
  run.findings[0].waived = Waived{"bug 12: offsets are 32 bits in the wire format", "2026-12-31"};
  std::swap(run.findings[0], run.findings[1]);
  const auto outcome = [](std::string rule, std::string until, std::string where,
                          WaiverState state) {
    return WaiverOutcome{{std::move(rule), "memory", "bug 12", std::move(until), std::move(where)},
                         state};
  };
  run.waivers = {
      outcome("data.read-your-writes", "2026-12-31", "w.toml:1", WaiverState::used),
      outcome("zero.reads-zero", "2026-01-01", "w.toml:7", WaiverState::expired),
      outcome("abi.name", "", "w.toml:13", WaiverState::unneeded),
      outcome("abi.loads", "", "w.toml:18", WaiverState::unneeded),
      outcome("trim.errno", "", "w.toml:23", WaiverState::not_checked),
  };
  run.verdict = Verdict::conformant;
  return run;
}

// Everything a plugin may say is an attack on the terminal.
inline RunSummary hostile() {
  RunSummary run = nonconformant();
  const std::string evil = "\x1b[2J\x1b]0;owned\x07\"'`$(id)\xFF\xE2\x80\xAE\r\n\tx";
  run.plugin_as_given = evil;
  run.arguments_as_given = {evil};
  run.subject->plugin.name = evil;
  run.subject->plugin.version = evil;
  run.subject->remarks = {evil};
  run.checks[0].id = evil;
  run.checks[4].reason = evil;
  run.checks[5].reason = evil;
  Finding& finding = run.findings[0];
  finding.rule = finding.check = finding.title = finding.message = evil;
  finding.expected = finding.actual = evil;
  finding.details = {evil, ""};
  finding.replay_command = evil;
  run.notes = {evil};
  run.not_applicable_reasons = {evil, "b", "c", "d", "e"};
  return run;
}

}  // namespace nbdcheck::sample
