// Two requests, one stopped at every instruction of the plugin that another
// thread can tell from the one before, the other run there from begin to end.
// What is left must be what one or the other would have left.
//
// All of it happens in copies of this process, made before the plugin is
// loaded, so that first use can be tried again and again and nothing that goes
// wrong ends the check.  A crash is then repeated here, for the stacks.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "checks/check_run.hpp"
#include "checks/patience.hpp"
#include "checks/sanitized.hpp"
#include "checks/sequence_check.hpp"
#include "checks/step_board.hpp"
#include "checks/step_life.hpp"
#include "checks/step_pairs.hpp"
#include "checks/step_session.hpp"
#include "checks/step_words.hpp"
#include "checks/trial.hpp"
#include "nbdcheck/status_page.hpp"

namespace nbdcheck::checks::concurrency_step {
namespace {

using Clock = std::chrono::steady_clock;
using Seconds = std::chrono::duration<double>;

// Seconds after which something that should long have ended never will.
constexpr double patience = 15;

// The wall's time is this many times as long as the processor's, at most.
constexpr double slowest = 4;

// Where B had to wait for A, or the plugin has threads of its own, what happens is left to
// chance: a meeting must show it this often again, to be more than that.
constexpr int times_again = 3;
constexpr int tries = 4;  // in a replay

class Exploration {
 public:
  explicit Exploration(CheckRun& run)
      : run_(run),
        space_(step_space(run.subject())),
        pairs_(step_pairs(run.subject(), space_)),
        life_(run, space_, pairs_, board_) {}

  void run() {
    if (!board_.valid()) return run_.unknown("no memory to share");
    begin_ = Clock::now();
    processor_begin_ = Patience::processor();
    if (!run_.job().schedule.empty()) return once();
    const auto share = [this](StepState state, bool two_handles, double until) {
      if (!over_) group(state, two_handles, until);
    };
    share(StepState::filled, false, 0.45);
    share(StepState::cold, false, 0.6);
    share(StepState::filled, true, 0.75);
    share(StepState::cold, true, 0.85);
    share(StepState::first_use, false, 1);
    share(StepState::first_use, true, 1);
    tell_chance();
    tell_torn();
    run_.count_operations(2 * board_->reached);
    if (board_->points > 0)
      run_.remark(fmt::format("{} of {} points explored ({} %), at {} of them B had to wait",
                              board_->reached.load(), board_->points.load(),
                              100 * board_->reached / board_->points, board_->blocked.load()));
    if (!over_ && board_->reached == 0)
      run_.unknown(why_not_.empty() ? "no request could be stopped on its way" : why_not_);
  }

 private:
  // The one meeting that an earlier run told of.
  void once() {
    const auto wanted = schedule_of(run_.job().schedule);
    if (!wanted) return run_.unknown("the schedule does not fit this plugin");
    known_ = pairs_[wanted->pair].state != StepState::filled && look(wanted->pair);
    for (const bool after_others : {false, true}) {
      if (after_others && pairs_[wanted->pair].state != StepState::filled) break;
      for (int i = 0; i < tries && !over_ && !torn_; ++i) {
        live(one_meeting(*wanted, after_others), total());
        const auto told = std::exchange(pending_, std::nullopt);
        if (told && !in_turn(*told, *wanted)) found(*told);
      }
    }
    tell_torn();
    run_.count_operations(2);
    if (!over_ && board_->reached == 0)
      run_.unknown("A never came to that instruction: the plugin may have changed");
  }

  // Of what is there: a plugin has the pipe, and the board, too.
  [[nodiscard]] std::optional<StepSchedule> schedule_of(const std::string& text) const {
    auto schedule = schedule_from_text(text);
    if (schedule && (schedule->pair >= pairs_.size() || schedule->area >= space_.areas))
      return std::nullopt;
    return schedule;
  }

  // A life of one meeting.
  std::function<void(const Trial*)> one_meeting(StepSchedule wanted, bool after_others) {
    return [this, wanted, after_others](const Trial* trial) {
      life_.only(wanted, after_others, known_, true, trial);
    };
  }

  void found(const StepTold& told) {
    over_ = told_ = true;
    run_.schedule(told.schedule);
    run_.violated(violation_of(told, deadlock_));
  }

  // Nothing was found that shows each time.
  void tell_chance() {
    if (!told_ && chance_) found(*chance_);
  }
  // Torn sectors are no news where whole ones are lost.
  void tell_torn() {
    if (!told_ && torn_) found(*torn_);
  }

  static double seconds_for(Effort effort) {
    return effort == Effort::quick ? 0.2 : effort == Effort::standard ? 4 : 40;
  }
  // Processor time, that of lives included, so that as much is explored on a
  // machine that has other work; where the plugin sleeps, the wall's.
  [[nodiscard]] double used() const {
    const double processor = (Patience::processor() - processor_begin_).count();
    const double wall = Seconds(Clock::now() - begin_).count();
    return std::max(used_before_ + processor, wall / slowest);
  }
  [[nodiscard]] double total() const { return seconds_for(run_.request().effort); }

  void group(StepState state, bool two_handles, double until) {
    std::vector<std::size_t> members;
    for (std::size_t i = 0; i < pairs_.size(); ++i)
      if (pairs_[i].state == state && pairs_[i].two_handles == two_handles) members.push_back(i);
    if (members.empty()) return;
    const double end = until * total();
    if (state == StepState::filled) return filled(members, end);
    for (std::size_t n = 0; n < members.size() && !over_ && used() < end; ++n) {
      const double share = used() + (end - used()) / static_cast<double>(members.size() - n);
      state == StepState::cold ? cold(members[n], share) : first_use(members[n], share);
    }
  }

  // --- all in one life -------------------------------------------------------

  void filled(const std::vector<std::size_t>& members, double end) {
    known_ = false;
    std::size_t begin = 0;    // member
    std::uint64_t place = 0;  // among its points
    do {
      live(
          [&](const Trial* trial) {
            StepSession session(run_, space_, pairs_[members[begin]]);
            if (!life_.begun(session, trial)) return;
            for (std::size_t n = begin; n < members.size(); ++n) {
              const double share =
                  used() + (end - used()) / static_cast<double>(members.size() - n);
              session.use(pairs_[members[n]]);
              if (!life_.explore(
                      session, members[n], n == begin ? place : 0, [&] { return used() > share; },
                      trial))
                return;
            }
            life_.end(session);
          },
          end);
      if (!pending_) return;
      begin = static_cast<std::size_t>(
          std::find(members.begin(), members.end(), board_->pair.load()) - members.begin());
      place = board_->place + 1;
    } while (confirm() && begin < members.size() && used() < end);
  }

  // --- a few points a life ---------------------------------------------------

  void cold(std::size_t pair, double end) {
    if (space_.areas < 2) return;  // the first is for the recording
    known_ = look(pair);
    board_->total = 0;
    std::size_t done = 0;
    do {
      const std::size_t first = done;
      live(
          [&](const Trial* trial) {
            StepSession session(run_, space_, pairs_[pair]);
            if (!life_.begun(session, trial)) return;
            if (known_) life_.tell_known(session);
            const Recording recording = session.record(0);
            const auto order = order_of(recording.points);
            if (first == 0) board_->points += order.size();
            board_->total = order.size();
            for (std::uint64_t area = 1; area < space_.areas; ++area) {
              const std::size_t at = first + area - 1;
              if (at >= order.size()) break;
              const StepPoint point = recording.points[order[at]];
              if (!life_.consider(session, life_.meet(session, pair, area, point), trial)) return;
            }
            life_.end(session);
          },
          end);
      done += space_.areas - 1;
      if (!pending_) continue;
      done = first + pending_->area;  // the rest of that life was left out
      if (!confirm()) return;
    } while (!over_ && done < board_->total && used() < end);
  }

  void first_use(std::size_t pair, double end) {
    known_ = look(pair);
    board_->total = 0;
    live(
        [&](const Trial* trial) {
          StepSession session(run_, space_, pairs_[pair]);
          if (!life_.begun(session, trial)) return;
          const Recording recording = session.record(0);
          board_->total = std::min(recording.points.size(), most_points);
          board_->points += board_->total.load();
          const std::uint64_t base = StepLife::base_of(session);
          for (std::size_t i = 0; i < board_->total; ++i)
            board_->list[i] = {recording.points[i].address - base, recording.points[i].occurrence};
          life_.end(session);
        },
        end);
    const std::size_t count = over_ ? 0 : board_->total.load();
    for (const std::size_t i : spread(count)) {
      if (over_ || used() > end) return;
      live(
          [&](const Trial* trial) {
            StepSession session(run_, space_, pairs_[pair]);
            if (!life_.begun(session, trial)) return;
            if (known_) life_.tell_known(session);
            StepPoint point = board_->list[i];
            point.address += StepLife::base_of(session);
            if (!life_.consider(session, life_.meet(session, pair, 0, point), trial)) return;
            life_.end(session);
          },
          end);
      if (pending_ && !confirm()) return;
    }
  }

  // --- whether it is so ------------------------------------------------------

  // What was found is told when it shows again, in lives of its own, as in a replay.
  // True: it does not, so go on.
  bool confirm() {
    StepTold told = *std::exchange(pending_, std::nullopt);
    const auto schedule = schedule_of(told.schedule);
    if (!schedule || in_turn(told, *schedule)) return false;
    const std::uint64_t reached = board_->reached;
    const std::uint64_t blocked = board_->blocked;
    const bool again = shows(*schedule);
    board_->reached = reached;
    board_->blocked = blocked;
    if (again) {
      found(told);
      return false;
    }
    told.by_chance = true;
    told.schedule.clear();  // all is explored again
    if (!chance_) chance_ = std::move(told);
    return !over_;
  }

  // What else goes wrong there, a crash perhaps, is no reason to tell it instead.
  bool shows(const StepSchedule& schedule) {
    const bool filled = pairs_[schedule.pair].state == StepState::filled;
    for (const bool after_others : {false, true}) {
      if (after_others && !filled) break;
      const auto look = [&](const Trial* trial) {
        life_.only(schedule, after_others, known_, false, trial);
      };
      int shown = 0;
      while (shown < times_again && tells_of_wrong(copy(look, used(), patience))) ++shown;
      if (shown == times_again) return true;
    }
    return false;
  }

  static bool tells_of_wrong(const TrialEnd& end) {
    return std::ranges::any_of(end.lines, [](const std::string& line) {
      const auto told = told_from_line(line);
      return told && told->what == StepTold::What::wrong;
    });
  }

  // The same place in a new life, with one request after the other.  Where areas are filled
  // it was seen in the same one.
  bool in_turn(const StepTold& told, const StepSchedule& schedule) {
    const StepPair& pair = pairs_[schedule.pair];
    if (pair.state == StepState::filled) return false;
    board_->in_turn = false;
    live(
        [&](const Trial* trial) {
          StepSession session(run_, space_, pair);
          if (!life_.begun(session, trial)) return;
          if (known_) life_.tell_known(session);
          board_->in_turn = session.wrong_in_turn(told.area);
          life_.end(session);
        },
        total());
    return !board_->complete || board_->in_turn;
  }

  // What the areas hold before anything is done: seen in a life of its own,
  // because looking is doing something.
  bool look(std::size_t pair) {
    if (run_.subject().external_storage) return false;
    live(
        [&](const Trial* trial) {
          StepSession session(run_, space_, pairs_[pair]);
          if (!life_.begun(session, trial)) return;
          std::size_t at = 0;
          for (std::uint64_t area = 0; area < space_.areas; ++area) {
            for (const CollisionRange& range : session.look(area)) {
              if (range.before.empty() || at + range.before.size() > most_known)
                return StepLife::finish(trial);
              std::copy(range.before.begin(), range.before.end(), board_->known + at);
              at += range.before.size();
            }
          }
          life_.end(session);
        },
        total());
    return board_->complete && !over_;
  }

  // --- lives -----------------------------------------------------------------

  // Runs `body` in a copy, and takes in what it found.
  void live(const std::function<void(const Trial*)>& body, double end) {
    board_->complete = false;
    board_->pass = 0;
    set_phase("running one request at every instruction of another");
    const double limit = slowest * std::max(0.0, end - used()) + patience;
    const double used_before = used();
    const auto begin = Clock::now();
    const TrialEnd ended = copy(body, used_before, limit);
    for (const std::string& line : ended.lines) take(line);
    if (over_) return;
    if (ended.kind == TrialEnd::Kind::finished) return;
    if (died(ended)) return crashed(body, ended.words(), used_before, begin);
    over_ = true;
    // Out of time, perhaps: what hangs in a meeting was told above, and what hangs
    // elsewhere hangs for the other checks as well.
    run_.unknown("a copy of the server did not come to its end: " + ended.words());
  }

  TrialEnd copy(const std::function<void(const Trial*)>& body, double used_before, double limit) {
    return run_trial(
        [&](const Trial& trial) {
          // Its clock begins anew.
          used_before_ = used_before;
          processor_begin_ = Patience::processor();
          body(&trial);
          trial.finish();
        },
        std::chrono::milliseconds(static_cast<long>(limit * 1000)));
  }

  static bool died(const TrialEnd& end) {
    return end.kind == TrialEnd::Kind::killed && end.signal != SIGTRAP;
  }

  // Once more, here, where it is seen with its stack: the last meeting, if that is what it
  // takes.
  void crashed(const std::function<void(const Trial*)>& body, const std::string& words,
               double used_before, Clock::time_point begin) {
    over_ = true;
    std::string phase = "running one request at every instruction of another";
    std::function<void(const Trial*)> last;
    if (const auto meeting = schedule_of(life_.schedule())) {
      const StepPair& at = pairs_[meeting->pair];
      phase = "one request in the middle of another: " + at.text();
      for (const bool after_others : {false, true}) {
        if (last || (after_others && at.state != StepState::filled)) break;
        auto alone = one_meeting(*meeting, after_others);
        if (died(copy(alone, used(), patience))) last = std::move(alone);
      }
      if (last) run_.schedule(to_text(*meeting));
    }
    set_phase(phase.c_str());
    // It has the time that the copy had.
    used_before_ = used_before;
    processor_begin_ = Patience::processor();
    begin_ += Clock::now() - begin;
    (last ? last : body)(nullptr);
    run_.unknown("a copy of the server died, which this one did not: " + words);
  }

  void take(const std::string& line) {
    if (auto why = text_after("opaque", line)) {
      over_ = true;
      return run_.not_applicable(*why);
    }
    // With a second connection it may not serve; that is for others to judge.
    if (auto why = text_after("not begun", line)) why_not_ = *std::move(why);
    if (auto words = text_after("deadlock", line)) deadlock_.push_back(*std::move(words));
    const auto told = told_from_line(line);
    if (!told) return;
    const bool torn =
        told->what == StepTold::What::torn_sector || told->what == StepTold::What::torn_read;
    if (torn)
      torn_ = told;
    else if (told->what == StepTold::What::wrong)
      pending_ = told;
    else
      found(*told);
  }

  CheckRun& run_;
  StepSpace space_;
  std::vector<StepPair> pairs_;
  SharedStepBoard board_;
  StepLife life_;
  Clock::time_point begin_;
  Seconds processor_begin_{0};
  double used_before_ = 0;  // in a life: seconds of the processes before it
  bool over_ = false;
  bool told_ = false;               // a finding
  std::optional<StepTold> torn_;    // one of them
  std::optional<StepTold> chance_;  // the same
  bool known_ = false;              // what the areas held is on the board
  std::string why_not_;             // the last reason of a copy that did not serve
  std::vector<std::string> deadlock_;
  std::optional<StepTold> pending_;  // wrong, perhaps
};

std::string not_applicable(const Subject& subject) {
  if (const auto why = why_instrumented(); !why.empty()) return why;
  if (subject.thread_model < ThreadModel::serialize_requests)
    return fmt::format("requests never run at once ({})", name(subject.thread_model));
  if (const auto why = needs_contents(subject); !why.empty()) return why;
  // nbdkit-sh-plugin(3), nbdkit-eval-plugin(1): a process for each call.
  if (subject.plugin.name == "sh" || subject.plugin.name == "eval")
    return "what it does is in a script";
  if (step_space(subject).areas == 0)
    return "too small for requests side by side, or its requests are";
  return "";
}

const Registration registration{{
    .id = "concurrency.step",
    .summary = "one request at every instruction of another",
    .rules = {"concurrency.regular", "concurrency.torn-sector", "concurrency.atomic"},
    .not_applicable = not_applicable,
    .run = [](CheckRun& run) { Exploration(run).run(); },
    .at_once = true,
}};

}  // namespace
}  // namespace nbdcheck::checks::concurrency_step
