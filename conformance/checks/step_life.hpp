// What is done in one life of the plugin, in a copy of this process: requests are
// recorded and meet, and what is wrong is told to the check.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "checks/check_run.hpp"
#include "checks/step_board.hpp"
#include "checks/step_pairs.hpp"
#include "checks/step_session.hpp"
#include "checks/step_words.hpp"
#include "checks/trial.hpp"

namespace nbdcheck {

// `trial`: the copy; nullptr: this process itself, which tells nothing.
class StepLife {
 public:
  // All of them outlive it.
  StepLife(CheckRun& run, const StepSpace& space, const std::vector<StepPair>& pairs,
           SharedStepBoard& board);

  // A whole life of one meeting: alone, or after those of its pair that come before it,
  // where it takes what they left in the plugin.  `known`: the board says what areas held.
  // `orderly`: to its end, unless something is wrong.
  void only(const StepSchedule& wanted, bool after_others, bool known, bool orderly,
            const Trial* trial);

  // The points of a pair from the begin-th on, as many as there is time for.  False: end here.
  bool explore(StepSession& session, std::size_t pair, std::uint64_t begin,
               const std::function<bool()>& out_of_time, const Trial* trial);

  // Says why, where it does not.
  bool begun(StepSession& session, const Trial* trial) const;
  void tell_known(StepSession& session);
  Meeting meet(StepSession& session, std::size_t pair, std::uint64_t area, StepPoint point);
  // Counts a meeting, and tells of what is wrong.  False: that was all.
  bool consider(StepSession& session, const Meeting& meeting, const Trial* trial);
  void end(StepSession& session);

  // The meeting at work; "": there was none yet.
  [[nodiscard]] std::string schedule() const;
  static std::uint64_t base_of(StepSession& session);
  static void finish(const Trial* trial);

 private:
  // What came of the last one, if that hangs.
  std::optional<Meeting> meet_before(StepSession& session, const StepSchedule& wanted,
                                     StepPoint end, const Recording& recording);
  const Recording& recorded(StepSession& session, std::size_t pair);
  [[nodiscard]] std::uint64_t area_of(std::uint64_t place) const;

  CheckRun& run_;
  const StepSpace& space_;
  const std::vector<StepPair>& pairs_;
  SharedStepBoard& board_;
  std::map<std::string, Recording> recordings_;
};

}  // namespace nbdcheck
