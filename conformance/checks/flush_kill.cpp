// A serving process is killed right after it has answered a flush or a request
// with FUA, started again on the same files, and what it finds is compared with
// what was acknowledged.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "checks/backing_roots.hpp"
#include "checks/sequence_check.hpp"
#include "checks/served_life.hpp"
#include "checks/watched_plugin.hpp"
#include "judge/survival.hpp"

namespace nbdcheck::checks::flush_kill {
namespace {

std::string not_applicable(const Subject& subject) {
  if (const std::string why = needs_writing(subject); !why.empty()) return why;
  if (!subject.stable_contents) return "contents change by themselves";
  if (subject.persistence == Persistence::per_connection) return "a disk for every connection";
  return "";
}

// Every other one is short: the C library keeps what does not fill its buffer.
std::vector<Place> places_of(const Subject& subject) {
  constexpr std::uint32_t little = 600;
  std::vector<Place> places = spread_places(subject, 6);
  if (const std::uint64_t block = subject.minimum_block(); block <= little)
    for (std::size_t i = 1; i < places.size(); i += 2)
      places[i].count =
          std::min(places[i].count, static_cast<std::uint32_t>(little / block * block));
  return places;
}

class Rounds {
 public:
  explicit Rounds(CheckRun& run)
      : run_(run),
        info_(run.subject().info),
        places_(places_of(run.subject())),
        survival_(ranges(), {.multi_conn = info_.advertises_multi_conn,
                             .native_fua = info_.fua == fua_native}) {}

  void run() {
    if (places_.empty()) return run_.not_applicable("no room for a request");
    // Does anything outlive the process at all?
    std::vector<Operation> fill;
    for (std::size_t i = 0; i < places_.size(); ++i) fill.push_back(write(i));
    if (info_.can_flush) fill.push_back(flush());
    const Life filled = begin(fill, Ending::orderly);
    if (!filled.came_up || !filled.ended)
      return run_.unknown("it does not serve a single connection: " + filled.why);
    Life life = begin({}, Ending::orderly);
    if (!life.came_up)
      return run_.not_applicable("it cannot be started twice on the same files: " + life.why);
    if (!holds(life, fill, filled))
      return run_.not_applicable("what is written does not outlive the process");

    for (const auto& requests : sequences())
      if (!round(requests)) return;
    for (int left = random_rounds(); left > 0 && run_.budget_left(0.4); --left)
      if (!round(random_sequence())) return;
    // What was found by the last one is still to be judged.
    const Life last = begin({}, Ending::orderly);
    judge(last);
  }

 private:
  [[nodiscard]] std::vector<Survival::Range> ranges() const {
    std::vector<Survival::Range> all;
    for (const Place& place : places_) all.push_back({place.offset, place.count});
    return all;
  }

  [[nodiscard]] int random_rounds() const {
    switch (run_.request().effort) {
      case Effort::quick:
        return 0;
      case Effort::standard:
        return 15;
      default:
        return 150;
    }
  }

  Life begin(const std::vector<Operation>& requests, Ending end) {
    run_.count_operations(requests.size() + places_.size());
    return live(run_, places_, requests, end);
  }

  [[nodiscard]] bool holds(const Life& life, const std::vector<Operation>& written,
                           const Life& writer) const {
    Survival all(ranges(), {.multi_conn = true});
    all.begin({});
    bool any = false;
    for (std::size_t i = 0; i < written.size(); ++i) {
      any = any || (writer.succeeded[i] && written[i].kind == OpKind::write);
      all.step(written[i], writer.succeeded[i]);
    }
    all.step(flush(), true);  // an orderly end
    return any && !all.judge(life.contents);
  }

  // One more life: what it finds is judged, then it is killed.
  bool round(const std::vector<Operation>& requests) {
    if (requests.empty()) return true;
    Life life = begin(requests, Ending::killed);
    if (!judge(life)) return false;
    if (!life.ended) {
      run_.unknown("the process did not come to the point where it was to be killed: " + life.why);
      return false;
    }
    survival_.begin(life.contents);
    for (std::size_t i = 0; i < requests.size(); ++i)
      survival_.step(requests[i], life.succeeded[i]);
    was_killed_ = true;
    return true;
  }

  bool judge(const Life& life) {
    if (!life.came_up) {
      not_up(life);
      return false;
    }
    if (!was_killed_) return true;
    if (auto violation = survival_.judge(life.contents)) {
      run_.violated(std::move(*violation));
      return false;
    }
    return true;
  }

  void not_up(const Life& life) {
    // Something of the dead process may only now be gone.
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    const Life again = begin({}, Ending::orderly);
    if (again.came_up || !was_killed_) {
      run_.unknown("it did not start once: " + life.why);
      return;
    }
    Violation v;
    v.rule = "lifecycle.restart";
    v.message =
        "The process was killed while it served. Started again on the same files the plugin does "
        "not come up any more; after an orderly end it does.";
    v.expected = "it serves again, if need be after a repair of its own";
    v.actual = again.why;
    run_.violated(std::move(v));
  }

  Operation make(OpKind kind, std::size_t place, std::uint32_t flags, std::uint8_t connection) {
    Operation op{.kind = kind};
    op.connection = connection;
    op.flags = static_cast<std::uint8_t>(flags);
    if (kind == OpKind::flush) return op;
    op.offset = places_[place % places_.size()].offset;
    op.count = places_[place % places_.size()].count;
    if (kind == OpKind::write) op.tag = next_tag_++;
    return op;
  }
  Operation write(std::size_t place, std::uint32_t flags = 0, std::uint8_t connection = 0) {
    return make(OpKind::write, place, flags, connection);
  }
  static Operation flush(std::uint8_t connection = 0) {
    Operation op{.kind = OpKind::flush};
    op.connection = connection;
    return op;
  }

  std::vector<std::vector<Operation>> sequences() {
    std::vector<std::vector<Operation>> all;
    const std::uint32_t fua = info_.fua != fua_none ? command_flag::fua : 0;
    const bool zeroes = info_.zero != zero_none;
    if (info_.can_flush) {
      all.push_back({write(0), write(1), flush()});
      if (zeroes) all.push_back({make(OpKind::zero, 2, 0, 0), flush()});
    }
    if (fua != 0) {
      all.push_back({write(0), write(3, fua)});
      if (zeroes) all.push_back({write(2), make(OpKind::zero, 1, fua, 0)});
    }
    if (info_.can_flush && info_.advertises_multi_conn)
      all.push_back({write(3, 0, 0), write(4, 0, 1), flush(1)});
    if (all.empty()) all.push_back({write(0)});
    return all;
  }

  std::vector<Operation> random_sequence() {
    std::vector<Operation> all;
    const std::uint8_t connections = info_.advertises_multi_conn ? 2 : 1;
    const std::uint64_t length = 2 + run_.random().below(10);
    for (std::uint64_t i = 0; i < length; ++i) {
      const auto place = static_cast<std::size_t>(run_.random().below(places_.size()));
      const auto connection = static_cast<std::uint8_t>(run_.random().below(connections));
      const bool fua = info_.fua != fua_none && run_.random().below(4) == 0;
      const std::uint64_t what = run_.random().below(10);
      OpKind kind = OpKind::write;
      if (what == 0 && info_.zero != zero_none) kind = OpKind::zero;
      if (what == 1 && info_.can_trim) kind = OpKind::trim;
      if (what >= 8 && info_.can_flush) kind = OpKind::flush;
      all.push_back(
          make(kind, place, fua && kind != OpKind::flush ? command_flag::fua : 0, connection));
    }
    if (info_.can_flush && run_.random().below(3) != 0) all.push_back(flush());
    return all;
  }

  CheckRun& run_;
  const ExportInfo& info_;
  std::vector<Place> places_;
  Survival survival_;
  bool was_killed_ = false;
  std::uint32_t next_tag_ = 1;
};

const Registration registration{{
    .id = "flush.kill",
    .summary = "what was flushed is there after the process was killed and started again",
    .rules = {"flush.durable", "flush.multi-conn", "fua.durable", "lifecycle.restart"},
    .not_applicable = not_applicable,
    .run =
        [](CheckRun& run) {
          if (backing_roots(run).empty() && !run.subject().external_storage)
            return run.not_applicable("no argument names a file");
          if (run.job().in_process) return run.not_applicable("--in-process");
          Rounds(run).run();
        },
    .seeded = true,
}};

}  // namespace
}  // namespace nbdcheck::checks::flush_kill
