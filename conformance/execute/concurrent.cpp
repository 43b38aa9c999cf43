#include "execute/concurrent.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <mutex>
#include <thread>

#include "execute/lane.hpp"
#include "execute/send.hpp"
#include "execute/start_barrier.hpp"
#include "model/tags.hpp"
#include "nbdcheck/status_page.hpp"

namespace nbdcheck {
namespace {

// What a read buffer holds before: a byte that no tag, zero or one makes likely.
constexpr int unfilled = 0x5a;
constexpr std::size_t connections = 256;

std::int64_t now() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

// Nothing of the operation may happen before its begin, or after its end.  A
// processor would run loads ahead of the first, and keep stores back behind
// the second.  (ThreadSanitizer does not see these as synchronisation.)
std::int64_t stamp_begin() {
  const std::int64_t time = now();
#if defined(__x86_64__)
  asm volatile("lfence" ::: "memory");
#else
  __sync_synchronize();
#endif
  return time;
}

std::int64_t stamp_end() {
#if defined(__x86_64__)
  asm volatile("mfence" ::: "memory");
#else
  __sync_synchronize();
#endif
  return now();
}

// Cheap and private to a thread.
class Dice {
 public:
  explicit Dice(std::uint64_t seed) : state_(seed * 2 + 1) {}
  std::uint64_t next() {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    return state_;
  }

 private:
  std::uint64_t state_;
};

}  // namespace

class ConcurrentRunner::Pool {
 public:
  Pool(Target& target, std::uint64_t size, ConcurrentOptions options)
      : target_(target), size_(size), options_(std::move(options)) {}

  ~Pool() { close_all(); }

  std::span<const TimedRecord> run(std::span<const Operation> operations, std::uint64_t seed) {
    prepare(operations);
    const unsigned threads = static_cast<unsigned>(schedule_.size());
    const unsigned processors = std::max(1U, std::thread::hardware_concurrency());
    StartBarrier barrier(threads, processors);
    while (lanes_.size() < threads) lanes_.push_back(std::make_unique<Lane>());
    for (unsigned t = 0; t < threads; ++t)
      lanes_[t]->start([this, &barrier, t, seed] { work(t, barrier, seed); });
    for (unsigned t = 0; t < threads; ++t) lanes_[t]->wait();
    return records_;
  }

  void close_all() {
    for (std::size_t c = 0; c < sessions_.size(); ++c) {
      if (!sessions_[c]) continue;
      lanes_[home_[c]]->run([&] { sessions_[c].reset(); });
    }
  }

  [[nodiscard]] bool is_open(unsigned connection) const { return sessions_[connection] != nullptr; }
  [[nodiscard]] bool ever_opened() const { return ever_opened_; }
  [[nodiscard]] const std::string& open_failure() const { return open_failure_; }

 private:
  // All memory that the threads need, so that none of them allocates.
  void prepare(std::span<const Operation> operations) {
    records_.assign(operations.size(), TimedRecord{});
    schedule_.clear();
    std::size_t bytes = 0;
    rounds_ = 0;
    for (std::size_t i = 0; i < operations.size(); ++i) {
      const Operation& op = operations[i];
      records_[i].operation = op;
      if (schedule_.size() <= op.thread) schedule_.resize(op.thread + 1U);
      if (op.kind == OpKind::read || op.kind == OpKind::write) bytes += op.count + 64;
      rounds_ = std::max<unsigned>(rounds_, op.round + 1U);
    }
    if (arena_.size() < bytes) arena_.resize(bytes);
    places_.assign(operations.size(), nullptr);
    std::size_t at = 0;
    Owners owners;
    for (std::size_t i = 0; i < operations.size(); ++i) {
      const Operation& op = operations[i];
      if (i == 0 || operations[i - 1].round != op.round) owners = owners_of(operations.subspan(i));
      if (!fits(op) || (owners[op.connection] >= 0 && owners[op.connection] != op.thread)) continue;
      schedule_[op.thread].push_back(static_cast<std::uint32_t>(i));
      if (op.kind != OpKind::read && op.kind != OpKind::write) continue;
      places_[i] = arena_.data() + at;
      fill(op, {places_[i], op.count});
      at += (op.count + 63) / 64 * 64;
    }
  }

  static void fill(const Operation& op, std::span<std::byte> data) {
    if (op.kind == OpKind::read)
      std::memset(data.data(), unfilled, data.size());
    else if (op.payload == Payload::tags)
      fill_tags(data, op.offset, op.tag);
    else
      std::memset(data.data(), op.payload == Payload::ones ? 0xff : 0, data.size());
  }

  [[nodiscard]] bool fits(const Operation& op) const {
    return !has_range(op.kind) ||
           (op.count != 0 && op.offset <= size_ && op.count <= size_ - op.offset);
  }

  // By connection: the thread that opens or closes it in the round that begins
  // here, and has it alone; -1: none.
  using Owners = std::array<std::int16_t, connections>;
  static Owners owners_of(std::span<const Operation> operations) {
    Owners owners;
    owners.fill(-1);
    for (const Operation& op : operations) {
      if (op.round != operations.front().round) break;
      if (op.kind != OpKind::open && op.kind != OpKind::close) continue;
      if (owners[op.connection] < 0) owners[op.connection] = op.thread;
    }
    return owners;
  }

  void work(unsigned thread, StartBarrier& barrier, std::uint64_t seed) {
    Dice dice(seed ^ (thread + 1) * 0x9e3779b97f4a7c15U);
    CallSlot& slot = my_slot();
    auto next = schedule_[thread].begin();
    const auto end = schedule_[thread].end();
    for (unsigned round = 0; round < rounds_; ++round) {
      barrier.arrive();
      if (next == end || records_[*next].operation.round != round) continue;
      stagger(dice);
      for (; next != end && records_[*next].operation.round == round; ++next) {
        slot.plan_index.store(*next, std::memory_order_relaxed);
        perform(records_[*next], places_[*next], thread);
      }
    }
    barrier.arrive();
  }

  void stagger(Dice& dice) const {
    const std::uint64_t draw = dice.next();
    // Half of the time at once; else any time up to the limit, mostly short.
    if (options_.stagger_nanoseconds == 0 || (draw & 1) == 0) return;
    const std::uint64_t limit = options_.stagger_nanoseconds >> (draw >> 8 & 3);
    const std::int64_t until = now() + static_cast<std::int64_t>((draw >> 16) % (limit + 1));
    while (now() < until) StartBarrier::relax();
  }

  void perform(TimedRecord& record, std::byte* place, unsigned thread) {
    const Operation& op = record.operation;
    std::unique_ptr<Session>& session = sessions_[op.connection];
    if (op.kind == OpKind::open) {
      open(record, session, thread);
      return;
    }
    if (!session) return;
    record.begin = stamp_begin();
    const Reply reply = send(*session, op, {place, op.count}, size_);
    if (op.kind == OpKind::close) session.reset();
    record.end = stamp_end();
    record.error = reply.error;
    record.done = true;
    if (op.kind == OpKind::read) record.data = {place, op.count};
  }

  void open(TimedRecord& record, std::unique_ptr<Session>& session, unsigned thread) {
    if (session) return;
    record.begin = stamp_begin();
    auto opened = target_.open(options_.export_name);
    record.end = stamp_end();
    record.done = true;
    if (opened) {
      ever_opened_.store(true, std::memory_order_relaxed);
      session = std::move(*opened);
      home_[record.operation.connection] = static_cast<std::uint8_t>(thread);
      return;
    }
    record.error = EIO;
    const std::lock_guard lock(failure_mutex_);
    open_failure_ = opened.error().message;
  }

  Target& target_;
  std::uint64_t size_;
  ConcurrentOptions options_;
  // Destroyed before the sessions: see ~Pool.
  std::array<std::unique_ptr<Session>, connections> sessions_;
  std::array<std::uint8_t, connections> home_{};  // the thread that opened it
  std::atomic<bool> ever_opened_{false};
  std::mutex failure_mutex_;
  std::string open_failure_;
  unsigned rounds_ = 0;
  std::vector<TimedRecord> records_;
  std::vector<std::byte*> places_;  // of the data of each operation
  std::vector<std::byte> arena_;
  std::vector<std::vector<std::uint32_t>> schedule_;  // by thread: which operations
  std::vector<std::unique_ptr<Lane>> lanes_;
};

ConcurrentRunner::ConcurrentRunner(Target& target, std::uint64_t export_size,
                                   ConcurrentOptions options)
    : pool_(std::make_unique<Pool>(target, export_size, std::move(options))) {}

ConcurrentRunner::~ConcurrentRunner() = default;

std::span<const TimedRecord> ConcurrentRunner::run(std::span<const Operation> operations,
                                                   std::uint64_t seed) {
  return pool_->run(operations, seed);
}

bool ConcurrentRunner::is_open(unsigned connection) const { return pool_->is_open(connection); }
bool ConcurrentRunner::ever_opened() const { return pool_->ever_opened(); }
void ConcurrentRunner::close_all() { pool_->close_all(); }
const std::string& ConcurrentRunner::open_failure() const { return pool_->open_failure(); }

}  // namespace nbdcheck
