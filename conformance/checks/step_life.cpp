#include "checks/step_life.hpp"

#include <algorithm>
#include <span>
#include <utility>

namespace nbdcheck {
namespace {

bool stuck(const Meeting& meeting) { return meeting.outcome.a_stuck || meeting.outcome.b_stuck; }

}  // namespace

StepLife::StepLife(CheckRun& run, const StepSpace& space, const std::vector<StepPair>& pairs,
                   SharedStepBoard& board)
    : run_(run), space_(space), pairs_(pairs), board_(board) {}

void StepLife::only(const StepSchedule& wanted, bool after_others, bool known, bool orderly,
                    const Trial* trial) {
  const StepPair& pair = pairs_[wanted.pair];
  StepSession session(run_, space_, pair);
  if (!begun(session, trial)) return;
  if (known) tell_known(session);
  Recording recording;
  if (pair.state != StepState::first_use) recording = session.record(0);
  const StepPoint point{wanted.point + base_of(session), wanted.pass};
  if (after_others)
    if (const auto hang = meet_before(session, wanted, point, recording))
      return void(consider(session, *hang, trial));
  const Meeting meeting = meet(session, wanted.pair, wanted.area, point);
  const bool in_turn =
      pair.state == StepState::filled && meeting.clash && session.wrong_in_turn(wanted.area);
  if (in_turn) ++board_->reached;
  if (!in_turn && !consider(session, meeting, trial)) return;
  if (!orderly) finish(trial);
  end(session);
}

std::optional<Meeting> StepLife::meet_before(StepSession& session, const StepSchedule& wanted,
                                             StepPoint end, const Recording& recording) {
  std::uint64_t place = 0;
  for (const std::size_t i : order_of(recording.points)) {
    const StepPoint& point = recording.points[i];
    const std::uint64_t area = area_of(place++);
    if (area == wanted.area && point.address == end.address && point.occurrence == end.occurrence)
      break;
    Meeting meeting = meet(session, wanted.pair, area, point);
    if (stuck(meeting)) return meeting;
  }
  return std::nullopt;
}

bool StepLife::explore(StepSession& session, std::size_t pair, std::uint64_t begin,
                       const std::function<bool()>& out_of_time, const Trial* trial) {
  if (out_of_time()) return true;
  board_->pair = pair;
  board_->pass = 0;  // no meeting yet
  const Recording& recording = recorded(session, pair);
  const auto order = order_of(recording.points);
  if (begin == 0) board_->points += order.size();
  for (std::uint64_t place = begin; place < order.size() && !out_of_time(); ++place) {
    board_->place = place;
    const std::uint64_t area = area_of(place);
    const Meeting meeting = meet(session, pair, area, recording.points[order[place]]);
    if (meeting.clash && session.wrong_in_turn(area)) return true;
    if (!consider(session, meeting, trial)) return false;
  }
  return true;
}

// A request does the same whatever it is to meet, and a single step takes as
// long as an exploration.
const Recording& StepLife::recorded(StepSession& session, std::size_t pair) {
  const std::string key = pairs_[pair].first_text();
  const auto known = recordings_.find(key);
  if (known != recordings_.end()) return known->second;
  return recordings_[key] = session.record(0);
}

// Where the place-th meeting of a pair is.
std::uint64_t StepLife::area_of(std::uint64_t place) const { return (place + 1) % space_.areas; }

std::uint64_t StepLife::base_of(StepSession& session) {
  return session.stepper().code().ranges().front().begin;
}

// Written down first: one of them may die.
Meeting StepLife::meet(StepSession& session, std::size_t pair, std::uint64_t area,
                       StepPoint point) {
  board_->pair = pair;
  board_->area = area;
  board_->point = point.address - base_of(session);
  board_->pass = point.occurrence;
  return session.meet(area, point);
}

std::string StepLife::schedule() const {
  if (board_->pass == 0) return "";
  return to_text(StepSchedule{board_->pair, board_->area, board_->point, board_->pass});
}

void StepLife::tell_known(StepSession& session) {
  std::size_t at = 0;
  for (std::uint64_t area = 0; area < space_.areas; ++area) {
    auto ranges = session.extent_of(area);
    for (CollisionRange& range : ranges) {
      const std::span<const std::byte> known(board_->known + at, range.after.size());
      // Other contents may be made anew each time: identifiers, dates.
      if (std::all_of(known.begin(), known.end(), [](std::byte b) { return b == std::byte{0}; }))
        range.before.assign(known.begin(), known.end());
      at += range.after.size();
    }
    session.know(area, std::move(ranges));
  }
}

void StepLife::finish(const Trial* trial) {
  if (trial != nullptr) trial->finish();
}

void StepLife::end(StepSession& session) {
  session.end();
  board_->complete = true;
}

bool StepLife::begun(StepSession& session, const Trial* trial) const {
  if (session.begin()) {
    session.stepper().set_longest(run_.request().effort == Effort::quick ? 1000 : 3000);
    return true;
  }
  if (trial != nullptr) {
    trial->say(word_line(session.opaque() ? "opaque" : "not begun", session.why()));
    trial->finish();
  }
  return false;
}

bool StepLife::consider(StepSession& session, const Meeting& meeting, const Trial* trial) {
  if (!stuck(meeting) && meeting.outcome.reached) ++board_->reached;
  if (meeting.outcome.blocked) ++board_->blocked;
  if (!stuck(meeting) && !meeting.clash) return true;
  StepTold told = told_of(meeting, session.place(meeting));
  told.schedule = schedule();
  const bool torn =
      told.what == StepTold::What::torn_read || told.what == StepTold::What::torn_sector;
  // That a sector is one is nobody's promise.
  if (torn && !run_.request().atomic_consistency) return true;
  if (trial != nullptr) {
    if (stuck(meeting))
      for (const std::string& words : session.deadlock()) trial->say(word_line("deadlock", words));
    trial->say(to_line(told));
  }
  if (torn) return true;
  finish(trial);
  return false;
}

}  // namespace nbdcheck
