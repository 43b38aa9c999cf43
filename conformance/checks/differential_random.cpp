// The same random requests to the plugin in process and in the real nbdkit, one
// at a time, in lockstep, both held against the reference disk.
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <thread>

#include "checks/beside_nbdkit.hpp"
#include "checks/sequence_check.hpp"
#include "execute/observed_target.hpp"
#include "judge/three_way.hpp"
#include "nbdcheck/status_page.hpp"

namespace nbdcheck::checks::differential_random {
namespace {

using Clock = std::chrono::steady_clock;
constexpr const char* comparing = "the same requests in process and in the real nbdkit";
constexpr const char* waiting = "waiting for the next second, to start another server";
constexpr std::uint32_t past_64_mib = max_request_size + 4096;
// The longest that no server's limits are hit by: nbdkit without the repair of
// CVE-2025-47711 dies of a longer BLOCK_STATUS.
constexpr std::uint32_t almost_4_gib = 0xffff0000;
// FAT counts in steps of two seconds, most other formats in finer ones.
constexpr std::chrono::milliseconds coarsest_time{2100};

class Pair {
 public:
  Pair(CheckRun& run, Server& server, NbdkitProcess& nbdkit)
      : run_(run),
        nbdkit_(nbdkit),
        inner_ours_(server),
        inner_theirs_(nbdkit),
        ours_target_(inner_ours_),
        theirs_target_(inner_theirs_),
        ours_(ours_target_, run.subject(), options(run)),
        theirs_(theirs_target_, run.subject(), options(run)) {}

  // False: no use going on.
  bool step(const Operation& op) {
    if (op.kind == OpKind::open && ours_.is_open(0)) return true;  // the generator's own
    run_.log().append(op);
    if (op.kind == OpKind::trim) unspecified_.add(op);
    const auto ours_wrong = ours_.step(op);
    const Observation ours = ours_target_.take();
    const auto theirs_wrong = theirs_.step(op);
    const Observation theirs = theirs_target_.take();
    run_.count_operations(1);
    if (op.kind == OpKind::open) return opened();
    if (theirs.error == ENOTCONN && !theirs.reached_plugin) return lost(op);
    const bool noticed = run_.incidents().has_news() && run_.report_incidents(true);
    if (noticed) return false;
    const auto difference =
        three_way(op, {ours, ours_wrong.has_value()}, {theirs, theirs_wrong.has_value()},
                  nbdkit_name(run_.request()));
    if (modifies(op.kind) && ours.error != 0) unspecified_.add(op);
    if (difference) return disagree(op, *difference, ours_wrong);
    return same_data(op, ours, theirs);
  }

  void close_all() {
    theirs_.close_all();
    ours_.close_all();
  }
  // Besides the open.
  [[nodiscard]] bool nothing_succeeded() const {
    return ours_.failed() > 0 && ours_.succeeded() <= 1;
  }

 private:
  static SequenceOptions options(const CheckRun& run) {
    SequenceOptions made = run.sequence_options();
    made.rules.reopens = false;
    made.watch_reads = false;  // both are asked the same
    return made;
  }

  bool opened() {
    const bool ours = ours_.is_open(0);
    const bool theirs = theirs_.is_open(0);
    if (ours && theirs) return true;
    if (const auto trouble = theirs ? std::nullopt : nbdkit_.trouble())
      report_trouble(run_, *trouble, true);
    else
      run_.unknown(fmt::format("the export opens {}: {}",
                               ours     ? "in process, and not in " + nbdkit_name(run_.request())
                               : theirs ? "in " + nbdkit_name(run_.request()) + ", not in process"
                                        : "nowhere",
                               ours ? theirs_.open_failure() : ours_.open_failure()));
    return false;
  }

  bool lost(const Operation& op) {
    if (const auto trouble = nbdkit_.trouble())
      report_trouble(run_, *trouble, true);
    else
      run_.unknown(fmt::format("{} did not answer {}", nbdkit_name(run_.request()), describe(op)));
    return false;
  }

  bool disagree(const Operation& op, const Disagreement& difference,
                const std::optional<Violation>& violation) {
    if (difference.blame == Blame::plugin) {
      run_.violated_in_sequence(*violation);
      return false;
    }
    // The map of a file is the file system's, and of each copy its own.
    if (op.kind == OpKind::extents && run_.job().second_arguments != run_.request().arguments)
      return true;
    // Never blamed on the plugin, which may but need not be at fault: memory that
    // it never set, or a failure that comes when it likes.
    run_.unknown(difference.words);
    return false;
  }

  // What both reference disks allow and still differs: trimmed bytes, which may
  // hold anything, or what nobody wrote.
  bool same_data(const Operation& op, const Observation& ours, const Observation& theirs) {
    if (!compare_unwritten_ || !run_.subject().stable_contents ||
        run_.request().unstable_contents || ours.data.size() != theirs.data.size())
      return true;
    const auto differ = std::mismatch(ours.data.begin(), ours.data.end(), theirs.data.begin());
    if (differ.first == ours.data.end()) return true;
    const auto at = static_cast<std::size_t>(differ.first - ours.data.begin());
    if (unspecified_.covers(op.offset + at)) return true;
    if (differs_from_run_to_run(op, theirs)) {
      compare_unwritten_ = false;
      return true;
    }
    run_.unknown(fmt::format(
        "in process and in {} the outcome is not the same, and nobody knows whose doing it is: {}: "
        "what nobody wrote at offset {}",
        nbdkit_name(run_.request()), describe(op), op.offset + at));
    return false;
  }

  // A file system made at the start has another UUID in every process, or another
  // time in every process that begins later.
  bool differs_from_run_to_run(const Operation& op, const Observation& theirs) {
    while (Clock::now() - begin_ < coarsest_time) {
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
      set_phase(waiting);  // which is no hang, however short the time limit
    }
    set_phase(comparing);
    NbdkitOptions options = nbdkit_.options();
    options.directory += "/another";
    std::error_code ignored;
    std::filesystem::create_directory(options.directory, ignored);
    auto another = NbdkitProcess::start(nbdkit_program(run_.request()), options);
    if (!another) return true;  // one at a time: nobody knows
    auto session = NbdkitTarget(**another).open(run_.request().export_name);
    std::vector<std::byte> data(op.count);
    const bool same = session && (*session)->read(data, op.offset, 0).ok() && data == theirs.data;
    return !same;
  }

  // Coarse: where trims and failed changes were.
  class Places {
   public:
    void add(const Operation& op) {
      if (ranges_.size() < 100'000) ranges_.push_back({op.offset, op.offset + op.count});
    }
    [[nodiscard]] bool covers(std::uint64_t offset) const {
      return std::any_of(ranges_.begin(), ranges_.end(), [&](const auto& range) {
        return range.first <= offset && offset < range.second;
      });
    }

   private:
    std::vector<std::pair<std::uint64_t, std::uint64_t>> ranges_;
  };

  CheckRun& run_;
  NbdkitProcess& nbdkit_;
  InProcessTarget inner_ours_;
  NbdkitTarget inner_theirs_;
  ObservedTarget ours_target_;
  ObservedTarget theirs_target_;
  SequenceRunner ours_;
  SequenceRunner theirs_;
  Places unspecified_;
  bool compare_unwritten_ = true;
  Clock::time_point begin_ = Clock::now();
};

// Requests longer than a read or write may be, where they cost nothing.
std::vector<Operation> long_requests(const Subject& subject) {
  std::vector<Operation> requests;
  const ExportInfo& info = subject.info;
  const auto add = [&](OpKind kind, std::uint32_t count, bool offered) {
    if (!offered || info.size < count) return;
    const std::uint64_t block = subject.minimum_block();
    Operation op{.kind = kind, .count = static_cast<std::uint32_t>(count / block * block)};
    op.tag = modifies(kind) ? static_cast<std::uint32_t>(0x70000000 + requests.size()) : 0;
    requests.push_back(op);
  };
  for (const std::uint32_t count : {past_64_mib, almost_4_gib}) {
    const bool huge = count == almost_4_gib;
    add(OpKind::trim, count, info.can_trim && info.can_write);
    add(OpKind::extents, count, maps_extents(subject));
    add(OpKind::zero, count, info.can_write && info.zero == zero_native);
    add(OpKind::cache, count, huge ? info.cache == cache_native : info.cache != cache_none);
  }
  return requests;
}

bool run_long_requests(CheckRun& run, Pair& pair) {
  double slowest = 0;
  for (const Operation& op : long_requests(run.subject())) {
    // What took its time at 64 MiB takes too much at 4 GiB.
    if (op.count > past_64_mib && slowest * 64 > run.seconds_left() / 4) continue;
    const auto begin = Clock::now();
    if (!pair.step(op)) return false;
    slowest = std::max(slowest, std::chrono::duration<double>(Clock::now() - begin).count());
  }
  return true;
}

std::string not_applicable(const Subject& subject) {
  if (subject.external_storage && subject.info.can_write)
    return "data outlive the process: two servers would share them";
  return needs_contents(subject);
}

bool in_lockstep(CheckRun& run, Server& server, NbdkitProcess& nbdkit) {
  set_phase(comparing);
  Pair pair(run, server, nbdkit);
  bool good = pair.step({.kind = OpKind::open}) && run_long_requests(run, pair);
  const Mix mix = possible(
      {.read = 40, .write = 28, .zero = 10, .trim = 8, .flush = 3, .cache = 3, .extents = 8},
      run.subject());
  Aim aim = aim_of(run.subject());
  aim.max_request = std::min<std::uint64_t>(aim.max_request, 1U << 20);
  Generator generator(aim, mix, run.random().next());
  // However slow the start was, some.
  for (int i = 0; good && (i < 64 || run.budget_left()); ++i) good = pair.step(generator.next());
  if (good && pair.nothing_succeeded())
    run.unknown("every request was refused: " + run.incidents().last_error());
  pair.close_all();
  return good;
}

void run_check(CheckRun& run) {
  beside_nbdkit(run, [&](Server& ours, NbdkitProcess& theirs) {
    bool good = true;
    on_connection_thread([&] { good = in_lockstep(run, ours, theirs); });
    return good;
  });
  run.report_incidents();
}

const Registration registration{{
    .id = "differential.random",
    .summary = "random requests: in process, in the real nbdkit, and on the reference disk",
    .rules = {"differential.nbdkit-survives", "data.read-your-writes", "data.nothing-outside",
              "zero.reads-zero", "zero.nothing-outside", "trim.nothing-outside"},
    .weight = 1.5,
    .not_applicable = not_applicable,
    .run = run_check,
    .beside_nbdkit = true,
    .seeded = true,
}};

}  // namespace
}  // namespace nbdcheck::checks::differential_random
