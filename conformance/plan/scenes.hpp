// Short concurrent plans that make operations collide where plugins share
// state: sectors of one chunk, both sides of a boundary, parts of a sector, a
// chunk that is first written, given back, or in a cache; connections that come
// and go meanwhile.
//
// A scene opens what it needs, puts its places into a known state, runs rounds
// of a few operations on each thread, and reads everything twice when all is
// quiet.  A pure function of aim and seed.
#pragma once

#include <cstdint>
#include <vector>

#include "plan/plan.hpp"
#include "plan/random.hpp"

namespace nbdcheck {

struct SceneAim {
  std::uint64_t size = 0;
  std::uint64_t block = 1;
  std::uint64_t max_request = 64U << 20;
  bool can_zero = false;
  bool can_trim = false;
  bool can_flush = false;
  bool can_fua = false;
  bool can_cache = false;
  bool can_extents = false;
  // Several requests of one connection at once, from any thread.  Else thread
  // n is connection n.
  bool spread = true;
  unsigned connections = 1;
  // Connections may write to the same places.
  bool shared = false;
  // The order of operations on one sector is judged, too.
  bool atomic = false;
  // About how many operations a scene may have.
  std::size_t most_operations = 600;
  unsigned most_threads = 8;
};

class SceneMaker {
 public:
  // REQUIRES: smallest_export(aim) <= aim.size
  SceneMaker(const SceneAim& aim, std::uint64_t seed);

  std::vector<Operation> next();

  // Below this there is no room for collisions.
  static std::uint64_t smallest_export(const SceneAim& aim);

 private:
  // A place, and in what steps it is written.
  struct Place {
    std::uint64_t begin = 0;
    std::uint64_t length = 0;
    std::uint64_t step = 512;
    unsigned connection = 0;  // that writes there, unless shared
  };
  enum class Start : std::uint8_t { written, zeroed, trimmed, untouched };

  void choose_cast();
  void choose_places();
  // An offset, a multiple of the chunk.
  std::uint64_t somewhere(std::uint64_t chunk);
  void choose_parts();
  void add_place(std::uint64_t begin, std::uint64_t length, std::uint64_t step,
                 unsigned connection);
  [[nodiscard]] unsigned home_of(unsigned connection) const;
  void open();
  void set_up();
  void play(unsigned rounds);
  void churn(unsigned connection);
  [[nodiscard]] bool comes(unsigned connection) const {
    return connection >= connections_ - coming_;
  }
  void look();
  void act(unsigned thread, const Place& place);
  Operation& add(OpKind kind, unsigned connection, unsigned thread);
  void add_range(OpKind kind, unsigned connection, unsigned thread, std::uint64_t begin,
                 std::uint64_t length);
  void next_round() { ++round_; }
  [[nodiscard]] unsigned connection_for(unsigned thread, const Place& place);
  [[nodiscard]] OpKind pick_kind();
  [[nodiscard]] std::uint64_t fit(std::uint64_t value) const {
    return value / aim_.block * aim_.block;
  }

  SceneAim aim_;
  Random random_;
  std::uint32_t next_tag_ = 1;
  std::vector<std::uint64_t> homes_;  // of scenes in a large export
  std::uint64_t fresh_ = 0;           // from here on nothing has been touched
  std::uint64_t walk_end_ = UINT64_MAX;

  // Of the scene in the making.
  std::vector<Operation> scene_;
  std::uint16_t round_ = 0;
  unsigned threads_ = 2;
  unsigned connections_ = 1;
  bool own_slots_ = true;  // each thread writes slots of its own
  bool walks_ = false;     // a round uses one place, the next the next one
  unsigned coming_ = 0;    // the last connections, that come and go
  Start start_ = Start::written;
  std::vector<Place> places_;
};

}  // namespace nbdcheck
