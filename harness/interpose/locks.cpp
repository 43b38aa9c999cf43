#include "nbdcheck/locks.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <mutex>
#include <set>
#include <span>
#include <utility>

#include "interpose/wrapped.hpp"
#include "nbdcheck/status_page.hpp"

namespace nbdcheck {
namespace {

using Call = interpose::LockListener::Call;

// What one thread holds and waits for.  Others look at it when nothing moves.
struct ThreadLocks {
  static constexpr std::size_t most = 64;
  std::atomic<int> thread{0};
  std::atomic<std::size_t> count{0};
  std::array<Call, most> held{};
  std::atomic<bool> waiting{false};
  Call wanted{};
};

constexpr std::size_t most_threads = 512;
std::array<ThreadLocks, most_threads> all_threads;

// A thread's place among them, for as long as it lives.
class Place {
 public:
  Place() {
    for (ThreadLocks& place : all_threads) {
      int unused = 0;
      if (!place.thread.compare_exchange_strong(unused, ::gettid())) continue;
      place.count = 0;
      place.waiting = false;
      mine_ = &place;
      return;
    }
  }
  ~Place() {
    if (mine_ != nullptr) mine_->thread = 0;
  }
  Place(const Place&) = delete;
  Place& operator=(const Place&) = delete;
  [[nodiscard]] ThreadLocks* get() const { return mine_; }

 private:
  ThreadLocks* mine_ = nullptr;
};

ThreadLocks* mine() {
  thread_local const Place place;
  return place.get();
}

// That `wanted` was taken by a thread that held `held`.
struct Edge {
  Call held;
  Call wanted;
  int thread = 0;
  std::vector<Call> others;  // that it held as well
};

bool same_locks(const Edge& a, const Edge& b) {
  return a.held.lock == b.held.lock && a.wanted.lock == b.wanted.lock;
}

// Whether one waits for the other there.
bool excludes(const Call& a, const Call& b) { return !a.shared || !b.shared; }

bool same_set(const std::vector<Call>& a, const std::vector<Call>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const Call& one, const Call& other) {
    return one.lock == other.lock && one.shared == other.shared;
  });
}

// Threads of the server that begin and end the plugin's life are not in anyone's
// way.
bool at_work() {
  switch (static_cast<Callback>(my_slot().callback.load(std::memory_order_relaxed))) {
    case Callback::plugin_init:
    case Callback::load:
    case Callback::unload:
    case Callback::config:
    case Callback::config_complete:
    case Callback::thread_model:
    case Callback::get_ready:
    case Callback::after_fork:
    case Callback::cleanup:
      return false;
    default:
      return true;
  }
}

class Recorder final : public interpose::LockListener {
 public:
  void wants(const Call& call) override {
    ThreadLocks* own = mine();
    if (own == nullptr) return;
    note_order(*own, call);
    own->wanted = call;
    own->waiting.store(true, std::memory_order_release);
  }
  void failed(const Call&) override {
    if (ThreadLocks* own = mine()) own->waiting = false;
  }
  void has(const Call& call, bool) override {
    ThreadLocks* own = mine();
    taken_.fetch_add(1, std::memory_order_relaxed);
    if (own == nullptr) return;
    own->waiting = false;
    const std::size_t count = own->count;
    if (count == ThreadLocks::most) return;
    own->held[count] = call;
    own->count.store(count + 1, std::memory_order_release);
  }
  void released(std::uint64_t lock) override {
    ThreadLocks* own = mine();
    if (own == nullptr) return;
    const std::size_t count = own->count;
    for (std::size_t i = count; i-- > 0;) {
      if (own->held[i].lock != lock) continue;
      std::move(own->held.begin() + static_cast<std::ptrdiff_t>(i + 1),
                own->held.begin() + static_cast<std::ptrdiff_t>(count),
                own->held.begin() + static_cast<std::ptrdiff_t>(i));
      own->count = count - 1;
      return;
    }
  }
  void gone(std::uint64_t begin, std::uint64_t size) override {
    const std::lock_guard lock(mutex_);
    const auto first = locks_.lower_bound(begin);
    if (first == locks_.end() || *first >= begin + size) return;
    const auto inside = [&](const Call& c) { return c.lock >= begin && c.lock < begin + size; };
    std::erase_if(edges_, [&](const Edge& e) { return inside(e.held) || inside(e.wanted); });
    locks_.erase(first, locks_.lower_bound(begin + size));
  }

  std::vector<Edge> edges() const {
    const std::lock_guard lock(mutex_);
    return edges_;
  }
  void clear() {
    const std::lock_guard lock(mutex_);
    edges_.clear();
    locks_.clear();
    taken_ = 0;
  }
  [[nodiscard]] std::uint64_t taken() const { return taken_.load(std::memory_order_relaxed); }

 private:
  void note_order(const ThreadLocks& own, const Call& wanted) {
    const std::size_t count = own.count;
    if (count == 0 || !at_work()) return;
    const std::span<const Call> held(own.held.data(), count);
    // A recursive lock is not waited for.
    if (std::any_of(held.begin(), held.end(), [&](const Call& c) { return c.lock == wanted.lock; }))
      return;
    const std::lock_guard lock(mutex_);
    for (const Call& before : held) {
      Edge edge{before, wanted, own.thread, {}};
      for (const Call& other : held)
        if (other.lock != before.lock) edge.others.push_back(other);
      add(std::move(edge));
    }
  }

  void add(Edge edge) {
    constexpr std::size_t most = 4096;
    const bool known = std::any_of(edges_.begin(), edges_.end(), [&](const Edge& e) {
      return same_locks(e, edge) && e.thread == edge.thread && same_set(e.others, edge.others) &&
             e.held.shared == edge.held.shared && e.wanted.shared == edge.wanted.shared;
    });
    if (known || edges_.size() >= most) return;
    locks_.insert(edge.held.lock);
    locks_.insert(edge.wanted.lock);
    edges_.push_back(std::move(edge));
  }

  mutable std::mutex mutex_;
  std::vector<Edge> edges_;
  std::set<std::uint64_t> locks_;  // that edges speak of
  std::atomic<std::uint64_t> taken_{0};
};

// For good: a thread may be inside of it when the watch ends.
Recorder recorder;

LockCycle::Step step_of(const Edge& edge) {
  return {edge.held.lock, edge.wanted.lock, edge.held.at, edge.wanted.at, edge.thread};
}

// Whether a lock that both hold keeps them apart.
bool kept_apart(const std::vector<Call>& a, const std::vector<Call>& b) {
  return std::any_of(a.begin(), a.end(), [&](const Call& one) {
    return std::any_of(b.begin(), b.end(), [&](const Call& other) {
      return one.lock == other.lock && excludes(one, other);
    });
  });
}

// Whether two steps can be under way at once.
bool compatible(const Edge& a, const Edge& b) {
  return a.thread != b.thread && !kept_apart(a.others, b.others);
}

// `next` takes up where `edge` ends: it holds what that one wants.
bool follows(const Edge& edge, const Edge& next) {
  return edge.wanted.lock == next.held.lock && excludes(edge.wanted, next.held);
}

}  // namespace

struct LockWatch::State {
  explicit State(const Code& code) : imports(code, interpose::wrapped_functions()) {}
  interpose::Imports imports;
};

LockWatch::LockWatch(const Code& code) {
  recorder.clear();
  interpose::lock_listener = &recorder;
  state_ = std::make_unique<State>(code);
}

LockWatch::~LockWatch() { interpose::lock_listener = nullptr; }

std::uint64_t LockWatch::taken() const { return recorder.taken(); }

std::vector<LockCycle> LockWatch::inversions() const {
  const std::vector<Edge> edges = recorder.edges();
  std::vector<LockCycle> result;
  std::set<std::set<std::uint64_t>> known;  // one cycle for the same locks
  const auto found = [&](std::initializer_list<const Edge*> steps) {
    std::set<std::uint64_t> locks;
    LockCycle cycle;
    for (const Edge* edge : steps) {
      locks.insert(edge->held.lock);
      cycle.steps.push_back(step_of(*edge));
    }
    if (known.insert(std::move(locks)).second) result.push_back(std::move(cycle));
  };
  for (const Edge& a : edges) {
    for (const Edge& b : edges) {
      if (!follows(a, b) || !compatible(a, b)) continue;
      if (follows(b, a)) {
        found({&a, &b});
        continue;
      }
      for (const Edge& c : edges)
        if (follows(b, c) && follows(c, a) && compatible(a, c) && compatible(b, c))
          found({&a, &b, &c});
    }
  }
  return result;
}

std::vector<LockCycle> LockWatch::deadlocks() const {
  // Who waits, for what, and who holds that.
  struct Waiting {
    const ThreadLocks* thread;
    Call wanted;
  };
  std::vector<Waiting> waiting;
  for (const ThreadLocks& thread : all_threads)
    if (thread.thread != 0 && thread.waiting.load(std::memory_order_acquire))
      waiting.push_back({&thread, thread.wanted});
  const auto holder_of = [&](const Waiting& waiter, Call& as) -> const Waiting* {
    for (const Waiting& other : waiting) {
      for (std::size_t i = 0; i < other.thread->count; ++i) {
        as = other.thread->held[i];
        if (as.lock == waiter.wanted.lock && excludes(as, waiter.wanted)) return &other;
      }
    }
    return nullptr;
  };
  std::vector<LockCycle> result;
  std::set<const Waiting*> seen;
  for (const Waiting& start : waiting) {
    std::vector<std::pair<const Waiting*, Call>> path;  // with what the next one holds
    const Waiting* at = &start;
    while (at != nullptr && seen.insert(at).second) {
      Call held{};
      const Waiting* next = holder_of(*at, held);
      path.emplace_back(at, held);
      at = next;
    }
    // A circle, if it came back to where it had been on this way.
    const auto first =
        std::find_if(path.begin(), path.end(), [at](const auto& step) { return step.first == at; });
    if (at == nullptr || first == path.end()) continue;
    LockCycle cycle;
    for (auto step = first; step != path.end(); ++step) {
      // What this one holds is what the one before it waits for.
      const Call held = step == first ? path.back().second : std::prev(step)->second;
      cycle.steps.push_back({held.lock, step->first->wanted.lock, held.at, step->first->wanted.at,
                             step->first->thread->thread});
    }
    result.push_back(std::move(cycle));
  }
  return result;
}

}  // namespace nbdcheck
