#include <algorithm>
#include <functional>
#include <limits>
#include <queue>
#include <utility>

#include "judge/register_sector.hpp"

namespace nbdcheck {
namespace {

constexpr std::int64_t always = std::numeric_limits<std::int64_t>::min();

// What the register holds at the times it need not hold a value of a forward
// zone.  Zero may be written many times, so which of the zeroes a read returned
// is not known; it need not be:
//  * Holding 0 is never worse than holding something else: nothing that has to
//    happen needs another value, and from 0 one gets away whenever a backward
//    zone is at hand.
//  * So a backward zone waits while the register holds 0, as long as it can,
//    and happens at once while it does not; in front of a zero write, or of a
//    forward zone, it costs nothing.
//  * A zero write waits as long as it can.  Of several, the one that must
//    happen first is taken when a read needs a 0.
class ZeroSweep {
 public:
  explicit ZeroSweep(RegisterClash& clash) : clash_(clash) {}

  // At equal times: what ended makes room, then what begins, then what cannot
  // wait, then what shuts the others out (intervals are closed).
  enum class Event : std::uint8_t { zone_ends, begins, deadline, zone_begins };
  enum class What : std::uint8_t { forward, backward, zero_write, zero_read };
  struct Item {
    What what;
    std::int64_t from;
    std::int64_t to;
    const RegisterOp* first;   // the operation to show
    const RegisterOp* second;  // zones only
    bool done = false;
  };

  void add(Item item) { items_.push_back(item); }

  bool fits() {
    struct Moment {
      std::int64_t time;
      Event event;
      std::uint32_t item;
    };
    std::vector<Moment> moments;
    moments.reserve(items_.size() * 2);
    for (std::uint32_t i = 0; i < items_.size(); ++i) {
      const bool zone = items_[i].what == What::forward;
      moments.push_back({items_[i].from, zone ? Event::zone_begins : Event::begins, i});
      moments.push_back({items_[i].to, zone ? Event::zone_ends : Event::deadline, i});
    }
    std::sort(moments.begin(), moments.end(), [](const Moment& a, const Moment& b) {
      return a.time != b.time ? a.time < b.time : a.event < b.event;
    });
    for (const Moment& moment : moments)
      if (!pass(moment.event, moment.item)) return false;
    return true;
  }

 private:
  bool pass(Event event, std::uint32_t i) {
    Item& item = items_[i];
    switch (event) {
      case Event::zone_ends:
        zone_ = nullptr;
        finish(backward_);  // the register holds the zone's value, not 0
        return true;
      case Event::begins:
        begin(i);
        return true;
      case Event::deadline:
        return item.done || deadline(i);
      case Event::zone_begins:
        return begin_zone(item);
    }
    return true;
  }

  void begin(std::uint32_t i) {
    Item& item = items_[i];
    switch (item.what) {
      case What::backward:
        if (zone_ == nullptr && !zero_)
          item.done = true;
        else
          backward_.push_back(i);
        break;
      case What::zero_write:
        zero_writes_.push({item.to, i});
        break;
      case What::zero_read:
        if (zone_ == nullptr && zero_)
          item.done = true;
        else
          zero_reads_.push_back(i);
        break;
      case What::forward:
        break;
    }
  }

  bool deadline(std::uint32_t i) {
    Item& item = items_[i];
    if (zone_ != nullptr)
      return fail(
          "an operation of another value lies wholly within the time in which the sector "
          "must hold this one",
          {zone_->first, item.first, zone_->second});
    switch (item.what) {
      case What::backward:
        lost_to_ = item.first;
        finish(backward_);
        zero_ = false;
        return true;
      case What::zero_write:
        item.done = true;
        become_zero();
        return true;
      case What::zero_read:
        return take_zero_write() || no_zero(item);
      case What::forward:
        return true;
    }
    return true;
  }

  bool begin_zone(const Item& zone) {
    // What must happen before the zone ends has to happen now.
    bool zero_now = false;
    while (!zero_writes_.empty() && zero_writes_.top().first < zone.to) {
      Item& write = items_[zero_writes_.top().second];
      zero_writes_.pop();
      if (write.done) continue;
      write.done = true;
      zero_now = true;
    }
    if (zero_now) become_zero();
    for (const std::uint32_t i : zero_reads_) {
      if (items_[i].done || items_[i].to >= zone.to) continue;
      if (!take_zero_write()) return no_zero(items_[i]);
      break;
    }
    finish(backward_);
    zero_ = false;
    lost_to_ = zone.first;
    zone_ = &zone;
    return true;
  }

  bool take_zero_write() {
    while (!zero_writes_.empty() && items_[zero_writes_.top().second].done) zero_writes_.pop();
    if (zero_writes_.empty()) return false;
    items_[zero_writes_.top().second].done = true;
    zero_writes_.pop();
    become_zero();
    return true;
  }

  void become_zero() {
    finish(backward_);
    zero_ = true;
    finish(zero_reads_);
  }

  void finish(std::vector<std::uint32_t>& waiting) {
    for (const std::uint32_t i : waiting) items_[i].done = true;
    waiting.clear();
  }

  bool no_zero(const Item& read) {
    return fail("the read returns 0; another value was there, and no zero can have come in between",
                {lost_to_, read.first});
  }

  bool fail(const char* why, std::vector<const RegisterOp*> witness) {
    clash_ = {why, std::move(witness)};
    return false;
  }

  RegisterClash& clash_;
  std::vector<Item> items_;
  using Waiting = std::pair<std::int64_t, std::uint32_t>;  // deadline, item
  std::priority_queue<Waiting, std::vector<Waiting>, std::greater<>> zero_writes_;
  std::vector<std::uint32_t> zero_reads_;
  std::vector<std::uint32_t> backward_;
  const Item* zone_ = nullptr;
  const RegisterOp* lost_to_ = nullptr;  // what ended the zero last
  bool zero_ = true;
};

}  // namespace

AtomicJudge::Outcome AtomicJudge::judge(std::span<const SectorOp> ops, RegisterClash& clash) {
  const Outcome collected = collect(ops, clash);
  if (collected != Outcome::holds) return collected;
  if (!zones_fit(clash)) return Outcome::violated;
  if (!zero_reads_.empty() && !zero_writes_.empty() && !zeroes_fit(clash)) return Outcome::violated;
  return Outcome::holds;
}

AtomicJudge::Outcome AtomicJudge::collect(std::span<const SectorOp> ops, RegisterClash& clash) {
  forward_.clear();
  backward_.clear();
  zero_writes_.clear();
  zero_reads_.clear();
  sorted_.clear();
  for (const SectorOp& op : ops) {
    if (op.value != 0)
      sorted_.push_back(op);
    else
      (op.writes() ? zero_writes_ : zero_reads_).push_back(op);
  }
  std::sort(sorted_.begin(), sorted_.end(),
            [](const SectorOp& a, const SectorOp& b) { return a.value < b.value; });
  bool repeats = false;
  for (std::size_t i = 0; i < sorted_.size();) {
    const SectorOp* write = nullptr;
    Zone zone{sorted_[i].end, sorted_[i].begin, sorted_[i].source, sorted_[i].source};
    const std::size_t first = i;
    for (; i < sorted_.size() && sorted_[i].value == sorted_[first].value; ++i) {
      const SectorOp& op = sorted_[i];
      if (op.writes()) {
        repeats |= write != nullptr;
        write = &op;
      }
      if (op.end < zone.first_end) {
        zone.first_end = op.end;
        zone.ends_first = op.source;
      }
      if (op.begin > zone.last_begin) {
        zone.last_begin = op.begin;
        zone.begins_last = op.source;
      }
    }
    if (write == nullptr) {
      clash = {"the read returns a value that nobody wrote", {sorted_[first].source}};
      return Outcome::violated;
    }
    if (!repeats && zone.first_end < write->begin) {
      clash = {"the read returns a value before the write of it began",
               {zone.ends_first, write->source}};
      return Outcome::violated;
    }
    (zone.forward() ? forward_ : backward_).push_back(zone);
  }
  return repeats ? Outcome::values_repeat : Outcome::holds;
}

bool AtomicJudge::zones_fit(RegisterClash& clash) {
  // Zeroes are zones as well: where none is ever written, all reads of 0
  // belong to the beginning; a zero write by itself is a moment.
  if (zero_writes_.empty()) {
    const RegisterOp* last = nullptr;
    for (const SectorOp& read : zero_reads_)
      if (last == nullptr || read.begin > last->begin) last = read.source;
    if (last != nullptr) forward_.push_back({always, last->begin, nullptr, last});
  }
  std::sort(forward_.begin(), forward_.end(),
            [](const Zone& a, const Zone& b) { return a.first_end < b.first_end; });
  for (std::size_t i = 1; i < forward_.size(); ++i)
    if (forward_[i].first_end < forward_[i - 1].last_begin) {
      clash = clash_of(forward_[i - 1], forward_[i],
                       "the sector must hold one value from the end of the first to the begin of "
                       "the last operation on it, and another at the same time");
      return false;
    }
  const auto inside = [&](const Zone& moment) {
    const auto next = std::partition_point(forward_.begin(), forward_.end(), [&](const Zone& zone) {
      return zone.first_end < moment.last_begin;
    });
    if (next == forward_.begin() || moment.first_end >= std::prev(next)->last_begin) return false;
    clash = clash_of(*std::prev(next), moment,
                     "an operation of another value lies wholly within the time in which the "
                     "sector must hold this one");
    return true;
  };
  for (const Zone& zone : backward_)
    if (inside(zone)) return false;
  for (const SectorOp& write : zero_writes_)
    if (inside({write.end, write.begin, write.source, write.source})) return false;
  return true;
}

bool AtomicJudge::zeroes_fit(RegisterClash& clash) {
  using What = ZeroSweep::What;
  ZeroSweep sweep(clash);
  for (const Zone& zone : forward_)
    sweep.add({What::forward, zone.first_end, zone.last_begin, zone.ends_first, zone.begins_last});
  for (const Zone& zone : backward_)
    sweep.add({What::backward, zone.last_begin, zone.first_end, zone.ends_first, zone.begins_last});
  for (const SectorOp& write : zero_writes_)
    sweep.add({What::zero_write, write.begin, write.end, write.source, nullptr});
  for (const SectorOp& read : zero_reads_)
    sweep.add({What::zero_read, read.begin, read.end, read.source, nullptr});
  return sweep.fits();
}

RegisterClash AtomicJudge::clash_of(const Zone& a, const Zone& b, std::string why) {
  RegisterClash clash{std::move(why), {}};
  for (const RegisterOp* op : {a.ends_first, a.begins_last, b.ends_first, b.begins_last})
    if (op != nullptr &&
        std::find(clash.witness.begin(), clash.witness.end(), op) == clash.witness.end())
      clash.witness.push_back(op);
  return clash;
}

}  // namespace nbdcheck
