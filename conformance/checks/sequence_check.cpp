#include "checks/sequence_check.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>

namespace nbdcheck {
namespace {

// Exports up to this size are read whole at the end.
constexpr std::uint64_t whole_sweep = 64U << 20;
// Of the budget; the rest is for the sweep.
constexpr double main_share = 0.85;
constexpr std::uint64_t sweep_step = 256U << 10;
constexpr std::uint64_t sweep_around = 128U << 10;

void sweep_range(CheckRun& run, SequenceRunner& sequence, const Aim& aim, std::uint64_t begin,
                 std::uint64_t end) {
  begin = begin / aim.block * aim.block;
  end = std::min(end, aim.size) / aim.block * aim.block;
  const std::uint64_t most =
      std::max(aim.block, std::min(sweep_step, aim.max_request) / aim.block * aim.block);
  while (begin < end && run.budget_left()) {
    Operation op{.kind = OpKind::read};
    op.offset = begin;
    op.count = static_cast<std::uint32_t>(std::min(most, end - begin));
    if (!step(run, sequence, op)) return;
    begin += op.count;
  }
}

void sweep(CheckRun& run, SequenceRunner& sequence, const Aim& aim,
           std::vector<std::uint64_t> places) {
  if (aim.size <= whole_sweep) {
    sweep_range(run, sequence, aim, 0, aim.size);
    return;
  }
  std::sort(places.begin(), places.end());
  std::uint64_t done = 0;
  for (const std::uint64_t place : places) {
    const std::uint64_t begin = std::max(done, place - std::min(place, sweep_around));
    const std::uint64_t end = place + std::min(sweep_around, aim.size - place);
    if (run.found_any()) return;
    if (begin < end) sweep_range(run, sequence, aim, begin, end);
    done = std::max(done, end);
  }
}

// How long requests of each kind took for their length.  A zero of 4 GiB is
// instant for most plugins, and minutes of writing for one whose .zero leaves
// the work to the server.
class Pace {
 public:
  // An estimate from earlier requests; 0: none, or too small to matter.
  [[nodiscard]] double seconds_for(const Operation& op) const {
    if (op.count <= max_request_size) return 0;
    return seconds_per_byte_[static_cast<std::size_t>(op.kind)] * op.count;
  }

  class Watch {
   public:
    Watch(Pace& pace, const Operation& op)
        : pace_(pace), op_(op), begin_(std::chrono::steady_clock::now()) {}
    ~Watch() {
      if (op_.count < 1U << 20) return;
      const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - begin_;
      pace_.seconds_per_byte_[static_cast<std::size_t>(op_.kind)] = taken.count() / op_.count;
    }
    Watch(const Watch&) = delete;
    Watch& operator=(const Watch&) = delete;

   private:
    Pace& pace_;
    const Operation& op_;
    std::chrono::steady_clock::time_point begin_;
  };

 private:
  std::array<double, 16> seconds_per_byte_{};
};

}  // namespace

Aim aim_of(const Subject& subject) {
  Aim aim;
  aim.size = subject.info.size;
  aim.block = subject.minimum_block();
  aim.max_request = subject.maximum_request();
  aim.can_fua = subject.info.fua != fua_none;
  aim.can_fast_zero = subject.info.can_fast_zero;
  aim.typical_length = subject.usual_request();
  return aim;
}

Mix possible(Mix mix, const Subject& subject) {
  const ExportInfo& info = subject.info;
  if (!info.can_write) mix.write = mix.zero = mix.trim = 0;
  if (info.zero == zero_none) mix.zero = 0;
  if (!info.can_trim) mix.trim = 0;
  if (!info.can_flush) mix.flush = 0;
  if (info.cache == cache_none) mix.cache = 0;
  if (!maps_extents(subject)) mix.extents = 0;
  return mix;
}

bool maps_extents(const Subject& subject) {
  return subject.info.can_extents && subject.has("extents");
}

std::string needs_two_connections(const Subject& subject) {
  if (subject.thread_model == ThreadModel::serialize_connections)
    return "one connection at a time (serialize_connections)";
  return subject.together(2) < 2 ? "one connection at a time" : "";
}

std::string needs_contents(const Subject& subject) {
  if (subject.info.size < subject.minimum_block())
    return subject.info.size == 0 ? "size is 0" : "smaller than one block";
  return "";
}

std::string needs_writing(const Subject& subject) {
  if (!subject.info.can_write) return "read-only";
  return needs_contents(subject);
}

bool step(CheckRun& run, SequenceRunner& sequence, const Operation& op) {
  run.log().append(op);
  auto violation = sequence.step(op);
  run.count_operations(1);
  const bool noticed = run.incidents().has_news() && run.report_incidents(true);
  // From here on nobody knows what the buffers, or the disk, should hold.
  if (run.incidents().seen(IncidentKind::buffer_unfilled) ||
      run.incidents().seen(IncidentKind::return_value))
    return false;
  if (!violation) return true;
  // An answer that nbdkit_add_extent refused is no second fault.
  if (noticed && violation->rule == "extents.no-error") return false;
  run.violated_in_sequence(std::move(*violation));
  return false;
}

bool run_fixed_sequence(CheckRun& run, const std::vector<Operation>& operations,
                        const SequenceOptions& options) {
  const auto server = run.serve();
  if (!server) return true;
  bool good = true;
  on_connection_thread([&] {
    InProcessTarget target(*server);
    SequenceRunner sequence(target, run.subject(), options);
    Pace pace;
    std::size_t done = 0;
    for (const Operation& op : operations) {
      if (!run.budget_left()) break;
      if (pace.seconds_for(op) > run.seconds_left() / 4) continue;
      const Pace::Watch watch(pace, op);
      good = step(run, sequence, op);
      if (!good) break;
      ++done;
    }
    // What was not done has not passed.
    if (good && done < operations.size())
      run.unknown(fmt::format("{} of {} requests were left out: they would take too long",
                              operations.size() - done, operations.size()));
    if (sequence.succeeded() == 0 && sequence.failed() > 0)
      run.unknown("every request was refused: " + run.incidents().last_error());
    sequence.close_all();
  });
  if (good) server->stop();
  run.report_incidents();
  return good;
}

void run_random_sequence(CheckRun& run, const SequenceSpec& spec) {
  const auto server = run.serve();
  if (!server) return;
  bool good = true;
  on_connection_thread([&] {
    InProcessTarget target(*server);
    SequenceRunner sequence(target, run.subject(), spec.options);
    Generator generator(spec.aim, spec.mix, run.random().next());
    // Of a slow plugin not all: what follows asks the same questions.
    constexpr double first_seconds = 2;
    for (const Operation& op : spec.first)
      if (good && run.seconds_left() > -first_seconds) good = step(run, sequence, op);
    // Asking the clock for each operation would cost as much as a small read.
    // One request is made in any case: the start may have taken all of the time.
    const auto answered = [&] { return sequence.succeeded() + sequence.failed() > 0; };
    for (int i = 0; i < 16 && good && !answered(); ++i)
      good = step(run, sequence, generator.next());
    while (good && run.budget_left(main_share))
      for (int i = 0; i < 16 && good; ++i) good = step(run, sequence, generator.next());
    if (good && spec.sweep && spec.aim.connections == 1)
      sweep(run, sequence, spec.aim, generator.anchors());
    if (sequence.succeeded() == 0)
      run.unknown("every request was refused: " + (sequence.open_failure().empty()
                                                       ? run.incidents().last_error()
                                                       : sequence.open_failure()));
    sequence.close_all();
  });
  if (!run.found_any()) server->stop();
  run.report_incidents();
}

}  // namespace nbdcheck
