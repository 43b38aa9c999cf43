// `nbdcheck judge HISTORY.jsonl`: the judges of concurrent histories by
// themselves, for histories saved by us or recorded by others.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <string>

#include "cli/terminal.hpp"
#include "command/command.hpp"
#include "judge/history_file.hpp"
#include "report/paint.hpp"
#include "text/printable.hpp"

namespace nbdcheck {
namespace {

// More would not tell more.
constexpr std::size_t shown = 10;

const char* name(RegisterOp::Kind kind) {
  switch (kind) {
    case RegisterOp::Kind::read:
      return "read";
    case RegisterOp::Kind::write:
      return "write";
    case RegisterOp::Kind::zero:
      return "zero";
  }
  return "";
}

// The operations below each other, columns aligned.
std::string witness_text(const RegisterClash& clash) {
  struct Row {
    std::string line, client, call, begin, end;
  };
  std::vector<Row> rows;
  std::size_t line = 0, client = 0, call = 0, begin = 0, end = 0;
  for (const RegisterOp* op : clash.witness) {
    const Row& row = rows.emplace_back(
        Row{fmt::format("line {}", op->line), fmt::format("client {}", op->client),
            op->kind == RegisterOp::Kind::read
                ? fmt::format("read() = {}", op->value)
                : fmt::format("{}({})", name(op->kind),
                              op->kind == RegisterOp::Kind::zero ? "" : fmt::to_string(op->value)),
            fmt::to_string(op->begin), fmt::to_string(op->end)});
    line = std::max(line, row.line.size());
    client = std::max(client, row.client.size());
    call = std::max(call, row.call.size());
    begin = std::max(begin, row.begin.size());
    end = std::max(end, row.end.size());
  }
  std::string text;
  for (const Row& row : rows)
    text += fmt::format("    {:<{}}  {:<{}}  {:<{}}  [{:>{}}, {:>{}}]\n", row.line, line,
                        row.client, client, row.call, call, row.begin, begin, row.end, end);
  return text;
}

std::string verdict_text(const RegisterVerdict& verdict, const Options& options, double seconds) {
  const Paint paint(wants_colour(options.color));
  const char* const level = options.consistency == Consistency::atomic ? "atomic" : "regular";
  std::string text;
  for (std::size_t i = 0; i < std::min(shown, verdict.clashes.size()); ++i) {
    const RegisterClash& clash = verdict.clashes[i];
    text += fmt::format("{} sector {}: {}\n", paint.bad("not " + std::string(level)),
                        clash.witness.front()->sector, clash.why);
    text += witness_text(clash) + "\n";
  }
  if (verdict.clashes.size() > shown)
    text += fmt::format("and {} more sectors\n\n", verdict.clashes.size() - shown);
  for (std::size_t i = 0; i < std::min(shown, verdict.undecided.size()); ++i)
    text += fmt::format("{}: sector {}: too many writes of equal values at once to find out\n",
                        paint.warning("undecided"), verdict.undecided[i]);

  std::string last;
  if (!verdict.clashes.empty())
    last = paint.bad(fmt::format("VIOLATED: not {} in {} of {} sectors", level,
                                 verdict.clashes.size(), verdict.sectors));
  else if (!verdict.undecided.empty())
    last = paint.warning(
        fmt::format("UNDECIDED: {} of {} sectors", verdict.undecided.size(), verdict.sectors));
  else if (verdict.operations == 0)
    last = paint.warning("NOTHING JUDGED: the history is empty");
  else
    last = paint.good(fmt::format("HOLDS: {} in {} sector{}", level, verdict.sectors,
                                  verdict.sectors == 1 ? "" : "s"));
  return text + fmt::format("{}; {} operation{} judged in {:.3f} s\n", last, verdict.operations,
                            verdict.operations == 1 ? "" : "s", seconds);
}

}  // namespace

int judge_command(const Options& options) {
  const auto history = read_history(options.history_file);
  if (!history) {
    std::fputs(fmt::format("nbdcheck: {}\n", printable(history.error())).c_str(), stderr);
    return 2;
  }
  const auto begin = std::chrono::steady_clock::now();
  const RegisterVerdict verdict = judge_registers(*history, options.consistency);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  std::fputs(verdict_text(verdict, options, took.count()).c_str(), stdout);
  if (!verdict.clashes.empty()) return 1;
  return verdict.undecided.empty() && verdict.operations != 0 ? 0 : 4;
}

}  // namespace nbdcheck
