// What a connection or a request takes and does not give back.  Equal rounds of
// the same work, and the process counted after each.  A first suspicion is only
// that: the work is then repeated until the growth is beyond doubt or stops.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <functional>
#include <optional>

#include "checks/check_run.hpp"
#include "checks/client.hpp"
#include "checks/every_request.hpp"
#include "checks/growth.hpp"
#include "checks/language_runtime.hpp"
#include "checks/patience.hpp"
#include "nbdcheck/census.hpp"
#include "nbdcheck/status_page.hpp"

namespace nbdcheck::checks::process_growth {
namespace {

using Clock = std::chrono::steady_clock;
using Seconds = std::chrono::duration<double>;

constexpr unsigned warm_up = 24;
constexpr unsigned shortest_warm_up = 6;
constexpr unsigned first_rounds = 5;
constexpr unsigned fewest_a_round = 4;
constexpr unsigned most_a_round = 32;  // a leak of descriptors ends at 1024
constexpr Seconds first_round_time{0.003};
// Of processor time; more on the wall, where others want the processors too.
constexpr Seconds longest_repetition{0.05};
constexpr double asleep = 4;
constexpr unsigned long_rounds = 10;
constexpr std::uint64_t long_repetitions = 10'000;  // of all long rounds
constexpr std::uint64_t sure_repetitions = 2'500;   // what is enough for a verdict
constexpr Seconds longest_confirmation{15};

enum class Measure : std::uint8_t { descriptors, threads, zombies, allocated, mapped, count_ };
constexpr auto measures = static_cast<std::size_t>(Measure::count_);
using Sample = std::array<std::uint64_t, measures>;

// How much one repetition must add, and all of them together, to be beyond
// doubt.
struct Limits {
  double each;
  double total;
};
constexpr std::array<Limits, measures> limits{{
    {0.01, 64},       // descriptors: an export of 1024 files is soon served no more
    {0.01, 48},       // threads
    {0.01, 16},       // zombies
    {8, 64 << 10},    // bytes of malloc
    {1024, 8 << 20},  // bytes mapped
}};

struct Work {
  const char* of;  // "connection", "read request"
  const char* memory_rule;
  std::function<bool()> repeat;  // false: it failed, which other checks speak of
};

class Growth {
 public:
  explicit Growth(CheckRun& run) : run_(run) {}

  void run() {
    server_ = run_.serve();
    if (!server_) return;
    places_ = sample_places(run_.subject());
    kinds_ = every_request(run_.subject());
    set_phase("opening and closing connections");
    const bool done = watch({"connection", "process.memory-growth", [this] { return visit(); }});
    if (done && run_.subject().has("list_exports")) {
      set_phase("asking for the list of exports");
      watch({"list of exports", "process.memory-growth", [this] { return list(); }});
    }
    Client client(*server_);
    if (done && !places_.empty() && client.open(run_.request().export_name)) {
      client_ = &client;
      set_phase("sending the same requests again and again");
      watch(
          {"round of requests that read", "process.request-memory", [this] { return ask(false); }});
      watch(
          {"round of requests that write", "process.request-memory", [this] { return ask(true); }});
    }
    client.close();
    if (!run_.found_any()) server_->stop();
  }

 private:
  bool visit() {
    Client client(*server_);
    if (!client.open(run_.request().export_name)) return false;
    run_.count_operations(1);
    return true;
  }

  bool list() {
    Client client(*server_);
    if (!client.connect()) return false;
    bool listed = false;
    client.run([&](Connection& connection) { listed = connection.list_exports().has_value(); });
    run_.count_operations(1);
    return listed;
  }

  bool ask(bool modify) {
    client_->run([&](Connection& connection) {
      for (const RequestKind& kind : kinds_)
        if (kind.modifies == modify) kind.send(connection, places_.front());
    });
    run_.count_operations(1);
    return true;
  }

  static Sample count() {
    const MemoryUse memory = memory_use();
    return {descriptor_count(), threads().size(), zombie_children(), memory.allocated,
            memory.mapped};
  }

  // False: the work could not be done.
  bool watch(const Work& work) {
    const auto begin = Clock::now();
    const Patience patience(Seconds(run_.request().effort == Effort::quick ? 0.05 : 0.5));
    unsigned done = 0;
    while (done < warm_up) {
      if (!work.repeat()) return false;
      if (++done >= shortest_warm_up && patience.over()) break;
    }
    const Seconds each = (Clock::now() - begin) / double(done);
    if (patience.processor_spent() / double(done) > longest_repetition ||
        each > asleep * longest_repetition) {
      run_.unknown("repeated connections or requests were left out: they would take too long");
      return true;
    }
    const auto repetitions =
        static_cast<unsigned>(std::clamp(first_round_time / std::max(each, Seconds(1e-7)),
                                         double{fewest_a_round}, double{most_a_round}));
    const auto series = sample(work, first_rounds, repetitions, [](const auto&) { return false; });
    const auto suspects = suspected(series, repetitions);
    if (!suspects.empty()) confirm(work, suspects, each);
    return true;
  }

  // What has more now than at first.  A few repetitions tell no more than that:
  // the parts of an allocator differ by some hundred bytes from one look to the
  // next.
  static std::vector<Measure> suspected(const std::vector<Sample>& series, unsigned repetitions) {
    std::vector<Measure> found;
    const double times = static_cast<double>((series.size() - 1) * repetitions);
    for (std::size_t i = 0; i < measures; ++i) {
      const auto measure = static_cast<Measure>(i);
      // Each thread has a stack, each child a slot somewhere: one suspicion at a time.
      if (is_memory(measure) && !found.empty() && !is_memory(found.front())) continue;
      const double growth =
          static_cast<double>(series.back().at(i)) - static_cast<double>(series.front().at(i));
      if (growth >= limits.at(i).each * times && growth > 0) found.push_back(measure);
    }
    return found;
  }

  void confirm(const Work& work, const std::vector<Measure>& suspects, Seconds each) {
    set_phase("repeating it, to see whether the growth ends");
    Seconds time(run_.request().effort == Effort::quick ? 2.5 : 6);
    // On a busy machine it takes a little longer to be sure.
    if (each * sure_repetitions < longest_confirmation)
      time = std::max(time, 1.1 * each * sure_repetitions);
    const bool memory = is_memory(suspects.front());
    const auto repetitions =
        static_cast<unsigned>(memory ? std::clamp<double>(time / each / long_rounds, fewest_a_round,
                                                          double{long_repetitions} / long_rounds)
                                     : most_a_round);
    const auto known = [&](const std::vector<Sample>& series) {
      // A round that adds nothing to any of them ends the suspicion; descriptors
      // and threads run out long before there are ten thousand.
      if (series.size() < 2) return false;
      const Sample& before = series.at(series.size() - 2);
      const bool over = std::ranges::none_of(suspects, [&](Measure measure) {
        return series.back().at(index(measure)) > before.at(index(measure));
      });
      return over ||
             (!memory && series.size() > 4 && std::ranges::all_of(suspects, [&](Measure measure) {
               return judge(series, repetitions, measure).has_value();
             }));
    };
    const auto series = sample(work, long_rounds, repetitions, known);
    const std::uint64_t times = (series.size() - 1) * repetitions;
    for (const Measure measure : suspects) {
      const auto growth = judge(series, repetitions, measure);
      if (!growth) continue;
      if (memory && times < sure_repetitions)
        run_.unknown(
            fmt::format("memory grew with every {}, but it is too slow to be repeated "
                        "often enough to be sure",
                        work.of));
      else
        report(work, measure, *growth, times);
    }
  }

  template <typename Enough>
  std::vector<Sample> sample(const Work& work, unsigned rounds, unsigned repetitions,
                             Enough&& enough) {
    std::vector<Sample> series{count()};
    for (unsigned round = 0; round < rounds && !enough(series); ++round) {
      for (unsigned i = 0; i < repetitions; ++i)
        if (!work.repeat()) return series;
      series.push_back(count());
    }
    return series;
  }

  static std::optional<double> growth_of(const std::vector<Sample>& series,
                                         std::uint64_t repetitions, Measure measure) {
    std::vector<std::uint64_t> values;
    for (const Sample& sample : series) values.push_back(sample.at(index(measure)));
    return steady_growth(values, repetitions);
  }

  // The growth per repetition, where it is beyond doubt.
  std::optional<double> judge(const std::vector<Sample>& series, unsigned repetitions,
                              Measure measure) const {
    const auto growth = growth_of(series, repetitions, measure);
    if (!growth || *growth < limits.at(index(measure)).each) return std::nullopt;
    const double total = *growth * static_cast<double>((series.size() - 1) * repetitions);
    if (total < limits.at(index(measure)).total) return std::nullopt;
    if (is_memory(measure) && collects_garbage(run_.subject().plugin.path)) return std::nullopt;
    return growth;
  }

  void report(const Work& work, Measure measure, double growth, std::uint64_t repetitions) {
    static constexpr std::array<const char*, measures> words{
        "open descriptors", "threads", "children nobody waited for", "bytes allocated by malloc",
        "bytes of address space"};
    static constexpr std::array<const char*, measures> rules{
        "process.descriptors", "process.threads", "process.children", nullptr, nullptr};
    const std::size_t i = index(measure);
    Violation v;
    v.rule = rules.at(i) != nullptr ? rules.at(i) : work.memory_rule;
    v.message = fmt::format("Every {} leaves something behind: {} grew steadily, by {:.2f} each.",
                            work.of, words.at(i), growth);
    v.expected = "what is taken is given back";
    v.actual = fmt::format("{:.0f} more {} after {} times",
                           growth * static_cast<double>(repetitions), words.at(i), repetitions);
    run_.violated(std::move(v));
  }

  static bool is_memory(Measure measure) {
    return measure == Measure::allocated || measure == Measure::mapped;
  }

  static std::size_t index(Measure measure) { return static_cast<std::size_t>(measure); }

  CheckRun& run_;
  std::unique_ptr<Server> server_;
  Client* client_ = nullptr;
  std::vector<Place> places_;
  std::vector<RequestKind> kinds_;
};

const Registration registration{{
    .id = "process.growth",
    .summary = "descriptors, threads and memory come back after every connection and request",
    .rules = {"process.descriptors", "process.threads", "process.children", "process.memory-growth",
              "process.request-memory"},
    .not_applicable = {},
    .run = [](CheckRun& run) { Growth(run).run(); },
}};

}  // namespace
}  // namespace nbdcheck::checks::process_growth
