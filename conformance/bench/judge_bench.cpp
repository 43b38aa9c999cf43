// How many operations of a concurrent history are judged per second.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdint>
#include <random>
#include <vector>

#include "judge/register_history.hpp"

namespace {

using namespace nbdcheck;

// What `clients` do at once to a disk on which every operation takes effect at
// some moment between its begin and its end.
RegisterHistory make_history(std::size_t count, std::uint64_t sectors, int clients) {
  std::mt19937_64 random(42);
  struct Moment {
    std::int64_t time;
    std::size_t op;
  };
  RegisterHistory history(count);
  std::vector<Moment> moments(count);
  std::vector<std::int64_t> now(static_cast<std::size_t>(clients), 0);
  for (std::size_t i = 0; i < count; ++i) {
    RegisterOp& op = history[i];
    const std::size_t client = i % now.size();
    op.client = static_cast<std::int64_t>(client);
    op.sector = random() % sectors;
    op.begin = now[client] + 1 + static_cast<std::int64_t>(random() % 50);
    op.end = op.begin + 1 + static_cast<std::int64_t>(random() % 1000);
    now[client] = op.end;
    moments[i] = {op.begin + static_cast<std::int64_t>(
                                 random() % static_cast<std::uint64_t>(op.end - op.begin + 1)),
                  i};
  }
  std::stable_sort(moments.begin(), moments.end(),
                   [](const Moment& a, const Moment& b) { return a.time < b.time; });
  std::vector<std::uint64_t> disk(sectors, 0);
  std::uint64_t tag = 0;
  for (const Moment& moment : moments) {
    RegisterOp& op = history[moment.op];
    const std::uint64_t kind = random() % 10;
    op.kind = kind < 5 ? RegisterOp::Kind::read : RegisterOp::Kind::write;
    if (kind == 9) op.kind = RegisterOp::Kind::zero;
    if (op.writes()) disk[op.sector] = op.kind == RegisterOp::Kind::zero ? 0 : ++tag;
    op.value = disk[op.sector];
  }
  return history;
}

void judge(benchmark::State& state, Consistency consistency) {
  const auto sectors = static_cast<std::uint64_t>(state.range(0));
  const RegisterHistory history =
      make_history(1'000'000, sectors, static_cast<int>(state.range(1)));
  for ([[maybe_unused]] const auto _ : state) {
    const RegisterVerdict verdict = judge_registers(history, consistency);
    if (!verdict.clashes.empty() || !verdict.undecided.empty())
      state.SkipWithError("a good history was not found good");
  }
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(history.size()));
}

BENCHMARK_CAPTURE(judge, regular, Consistency::regular)
    ->ArgNames({"sectors", "clients"})
    ->Args({4096, 16})
    ->Args({1, 16})
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(judge, atomic, Consistency::atomic)
    ->ArgNames({"sectors", "clients"})
    ->Args({4096, 16})
    ->Args({1, 16})
    ->Unit(benchmark::kMillisecond);

}  // namespace

BENCHMARK_MAIN();
