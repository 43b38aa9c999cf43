// Time that grows with what was done before: requests and connections are timed
// again after four times as many writes, and again.  Only a slowdown by far, at
// every step, and to a time that hurts is reported.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <functional>

#include "checks/check_run.hpp"
#include "checks/client.hpp"
#include "checks/patience.hpp"
#include "nbdcheck/census.hpp"
#include "nbdcheck/status_page.hpp"

namespace nbdcheck::checks::hang_growth {
namespace {

using Clock = std::chrono::steady_clock;
using Seconds = std::chrono::duration<double>;

constexpr std::uint32_t piece = 512;
constexpr int repetitions = 5;
constexpr double hurts = 0.020;  // seconds
constexpr double by_far = 50;
// A plugin that keeps what is written in memory takes a page, or a chunk of many
// pages, for each write.  No more than this.
constexpr std::uint64_t most_memory = 64U << 20;

struct Timed {
  const char* what;
  std::function<void(unsigned number)> once;
  std::vector<double> seconds = {};  // the median at each step
};

class GrowingTime {
 public:
  explicit GrowingTime(CheckRun& run)
      : run_(run), patience_(Seconds(run.request().effort == Effort::quick ? 0.3 : 4)) {
    const std::uint64_t block = run.subject().minimum_block();
    length_ = static_cast<std::uint32_t>((piece + block - 1) / block * block);
  }

  void run() {
    const auto server = run_.serve();
    if (!server) return;
    Client client(*server);
    if (!client.open(run_.request().export_name)) return run_.failed_to_start(client.failure());
    std::array<Timed, 3> timed{
        Timed{"a read", [&](unsigned number) { client.read(buffer_, place(number)); }},
        Timed{"a write over one of them",
              [&](unsigned number) { client.write(buffer_, place(number)); }},
        Timed{"opening another connection", [&](unsigned) {
                Client another(*server);
                if (can_open_two()) another.open(run_.request().export_name);
              }}};
    buffer_.resize(length_);
    set_phase("timing requests after more and more writes");
    const unsigned most = run_.request().effort == Effort::quick ? 1024 : 16384;
    std::vector<unsigned> counts;
    const std::uint64_t memory = memory_use().resident;
    unsigned written = 0;
    for (unsigned count = 16; count <= std::min<std::uint64_t>(most, places()); count *= 4) {
      for (; written < count; ++written) {
        client.write(buffer_, place(written));
        run_.count_operations(1);
        if (run_.seconds_left() < 0 || patience_.over()) break;
        if (written % 256 == 0 && memory_use().resident > memory + most_memory) break;
      }
      if (written < count) break;
      // What is written out by this is not the time looked for.
      if (run_.subject().info.can_flush) client.flush();
      counts.push_back(count);
      for (Timed& one : timed) one.seconds.push_back(median(one, count));
    }
    client.close();
    for (const Timed& one : timed) judge(one, counts);
    if (!run_.found_any()) server->stop();
  }

 private:
  [[nodiscard]] bool can_open_two() const { return run_.subject().together(2) > 1; }
  [[nodiscard]] std::uint64_t places() const { return run_.subject().info.size / (2 * length_); }
  // With gaps, so that neighbours do not melt into one; in an order that is not
  // that of the disk.
  [[nodiscard]] std::uint64_t place(unsigned number) const {
    constexpr std::uint64_t stride = 7919;  // prime, and larger than no power of two divides
    return (number * stride) % places() * 2 * length_;
  }
  double median(const Timed& timed, unsigned count) {
    std::array<double, repetitions> all{};
    for (unsigned i = 0; i < repetitions; ++i) {
      const auto begin = Clock::now();
      timed.once(count * i / repetitions);
      all.at(i) = Seconds(Clock::now() - begin).count();
      run_.count_operations(1);
    }
    std::ranges::sort(all);
    return all.at(repetitions / 2);
  }

  void judge(const Timed& timed, const std::vector<unsigned>& counts) {
    const auto& seconds = timed.seconds;
    if (seconds.size() < 3 || seconds.back() < hurts) return;
    if (seconds.back() < by_far * std::max(seconds.front(), 1e-6)) return;
    // A disk that stalls once is slow at one step; what grows is slower at each
    // of the last ones.
    for (std::size_t i = seconds.size() - 2; i < seconds.size(); ++i)
      if (seconds[i] < 2 * seconds[i - 1]) return;
    std::vector<std::string> steps;
    for (std::size_t i = 0; i < seconds.size(); ++i)
      steps.push_back(fmt::format("{:.2f} ms after {}", seconds[i] * 1000, counts[i]));
    Violation v;
    v.rule = "hang.growth";
    v.message = fmt::format("The more was written before, the longer took {}.", timed.what);
    v.expected = "about the same time, whatever was written before";
    v.actual = fmt::format("{} writes", fmt::join(steps, ", "));
    run_.violated(std::move(v));
  }

  CheckRun& run_;
  Patience patience_;
  std::uint32_t length_;
  std::vector<std::byte> buffer_;
};

std::string not_applicable(const Subject& subject) {
  if (!subject.info.can_write) return "read-only";
  if (subject.info.size < 1U << 18) return "smaller than 256 KiB";
  if (subject.minimum_block() > 4096) return "blocks too large to write many of them";
  return "";
}

const Registration registration{{
    .id = "hang.growth",
    .summary = "requests do not become slower with what was written before",
    .rules = {"hang.growth"},
    .not_applicable = not_applicable,
    .run = [](CheckRun& run) { GrowingTime(run).run(); },
}};

}  // namespace
}  // namespace nbdcheck::checks::hang_growth
