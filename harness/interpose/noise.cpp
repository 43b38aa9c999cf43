#include "nbdcheck/noise.hpp"

#include <sched.h>

#include <atomic>
#include <ctime>
#include <utility>

#include "interpose/wrapped.hpp"
#include "step/pause.hpp"
#include "step/random_traps.hpp"

namespace nbdcheck {
namespace {

// A thread's own, so that drawing orders no threads.
struct Draws {
  std::uint64_t owner = 0;  // the Noise it was seeded by
  std::uint64_t state = 0;
};
constinit thread_local Draws draws;
constinit std::atomic<std::uint64_t> noises{0};
constinit std::atomic<std::uint64_t> threads{0};

void sleep_microseconds(long microseconds) {
  const timespec time{0, microseconds * 1000};
  ::nanosleep(&time, nullptr);
}

class Source final : public interpose::Disturbance {
 public:
  void begin(std::uint64_t seed, double intensity) {
    number_ = ++noises;
    seed_ = seed;
    often_ = static_cast<std::uint64_t>(intensity * 0.25 * 65536);
    seldom_ = static_cast<std::uint64_t>(intensity * 0.06 * 65536);
    count_ = 0;
  }

  void here(bool often) override {
    const std::uint64_t draw = this->draw();
    if ((draw & 0xffff) >= (often ? often_ : seldom_)) return;
    count_.fetch_add(1, std::memory_order_relaxed);
    const std::uint64_t kind = draw >> 16 & 0xff;
    if (kind < 160)
      ::sched_yield();
    else if (kind < 252)
      sleep_microseconds(static_cast<long>(10 + (draw >> 24 & 0x7f)));
    else
      sleep_microseconds(1500);  // time for a whole request, and for timers
  }

  bool split(std::uint64_t bytes) override { return bytes >= 64 && (draw() & 0xffff) < often_ * 2; }

  std::uint64_t draw() {
    if (draws.owner != number_) {
      draws.owner = number_;
      draws.state = seed_ ^ (threads.fetch_add(1, std::memory_order_relaxed) << 32);
    }
    return step::drawn_from(std::exchange(draws.state, draws.state + step::next_state));
  }
  [[nodiscard]] std::uint64_t count() const { return count_.load(std::memory_order_relaxed); }

 private:
  std::uint64_t number_ = 0;
  std::uint64_t seed_ = 0;
  std::uint64_t often_ = 0;  // of 65536
  std::uint64_t seldom_ = 0;
  std::atomic<std::uint64_t> count_{0};
};

// For good: a thread may be inside of it when the noise ends.
Source source;

}  // namespace

struct Noise::State {
  State(const Code& code, NoiseOptions options)
      : imports(code, interpose::wrapped_functions()),
        traps(code, std::move(options.places), options.seed) {}
  interpose::Imports imports;
  step::RandomTraps traps;
};

Noise::Noise(const Code& code, NoiseOptions options) {
  threads = 0;
  source.begin(options.seed, options.intensity);
  interpose::disturbance = &source;
  state_ = std::make_unique<State>(code, std::move(options));
}

Noise::~Noise() { interpose::disturbance = nullptr; }

std::size_t Noise::imports() const { return state_->imports.count(); }
std::uint64_t Noise::disturbances() const { return source.count() + state_->traps.count(); }

}  // namespace nbdcheck
