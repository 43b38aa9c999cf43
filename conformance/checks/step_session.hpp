// A plugin that serves, two threads, and the meetings of two requests on them:
// what a check of stepping does inside one process.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "checks/check_run.hpp"
#include "checks/step_pairs.hpp"
#include "judge/collision.hpp"
#include "nbdcheck/locks.hpp"
#include "nbdcheck/step.hpp"

namespace nbdcheck {

// What came of one meeting.
struct Meeting {
  StepOutcome outcome;
  std::optional<Clash> clash;
  std::array<std::string, 2> requests;  // as calls
  StepPoint point;                      // where A was stopped
  std::uint64_t area = 0;
};

class StepSession {
 public:
  StepSession(CheckRun& run, const StepSpace& space, StepPair pair);
  ~StepSession();

  // Loads the plugin and opens the connections.  False: see why().
  bool begin();
  [[nodiscard]] const std::string& why() const { return why_; }
  // It serves, but its code is not of a kind to be stepped through.
  [[nodiscard]] bool opaque() const { return opaque_; }

  // REQUIRES: as many handles as before.
  void use(const StepPair& pair);

  // The places that are looked at, without their contents.
  [[nodiscard]] std::vector<CollisionRange> extent_of(std::uint64_t area) const;
  // What lies in an area before anything was done there.
  std::vector<CollisionRange> look(std::uint64_t area);
  void know(std::uint64_t area, std::vector<CollisionRange> before);

  Recording record(std::uint64_t area);
  Meeting meet(std::uint64_t area, StepPoint point);
  // Whether what they leave is wrong even when A and B run one after the other:
  // then it is not for their meeting to blame.
  bool wrong_in_turn(std::uint64_t area);

  [[nodiscard]] Stepper& stepper() { return *stepper_; }
  // Where A was stopped: function, line, and how often it had been there.
  [[nodiscard]] std::string place(const Meeting& meeting) const;
  // Threads that wait for each other's locks, in words.
  [[nodiscard]] std::vector<std::string> deadlock() const;
  // Ends orderly; without it the destructor abandons everything.
  void end();

 private:
  struct Scene {
    std::vector<CollisionRange> ranges;
    std::array<CollisionOp, 2> ops;
    std::vector<ExtentList> lists;  // of each op
  };

  [[nodiscard]] std::uint64_t start_of(const StepRequest& request, std::uint64_t area) const;
  [[nodiscard]] CollisionOp operation(const StepRequest& request, std::uint64_t area,
                                      std::uint32_t tag) const;
  void fill(std::vector<CollisionRange>& ranges);
  bool read(Connection& connection, CollisionRange& range) const;  // into `after`
  void prepare(std::uint64_t area, std::vector<CollisionRange>& ranges);
  void perform(std::size_t side, CollisionOp& op, ExtentList& list);
  Scene scene(std::uint64_t area);
  std::optional<Clash> judge(std::uint64_t area, Scene& scene);
  void read_back(std::vector<CollisionRange>& ranges);
  void settle();
  bool open_connections();
  StepThread& thread(std::size_t side);
  std::optional<Clash> use_extra(std::uint64_t area, std::vector<CollisionRange>& ranges);
  void close_extra();
  void close_all();
  std::unique_ptr<Connection> opened();
  [[nodiscard]] std::optional<Clash> judge(Scene& scene) const;

  CheckRun& run_;
  const StepSpace& space_;
  StepPair pair_;
  std::string why_;
  bool opaque_ = false;
  std::unique_ptr<Server> server_;
  std::unique_ptr<LockWatch> locks_;
  std::unique_ptr<Stepper> stepper_;
  std::array<std::unique_ptr<StepThread>, 2> homes_;        // of the connections
  std::array<std::unique_ptr<StepThread>, 2> threads_;      // a pool, and the further connections'
  std::array<std::unique_ptr<Connection>, 2> connections_;  // the second may be empty
  std::array<std::unique_ptr<Connection>, 2> extra_;        // opened by A or B, or closed
  std::vector<std::vector<CollisionRange>> known_;          // by area
};

}  // namespace nbdcheck
