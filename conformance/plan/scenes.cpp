#include "plan/scenes.hpp"

#include <algorithm>
#include <array>

namespace nbdcheck {
namespace {

// A plugin may keep in memory what is written: in a large export scenes come
// back to places they know.
constexpr std::uint64_t small_export = 64U << 20;
constexpr std::uint64_t most_homes = 32;
constexpr std::uint64_t longest_walk = 2U << 20;

constexpr std::array<std::uint64_t, 4> chunks{4096, 32768, 65536, 1U << 20};
// Parts of the export that connections have to themselves lie this far apart.
constexpr std::uint64_t gap = 64U << 10;
constexpr std::uint64_t largest_place = 256U << 10;

}  // namespace

std::uint64_t SceneMaker::smallest_export(const SceneAim& aim) {
  const std::uint64_t one = std::max<std::uint64_t>(aim.block, 512) * 4;
  return aim.connections > 1 && !aim.shared ? aim.connections * (one + 2 * gap) : one;
}

SceneMaker::SceneMaker(const SceneAim& aim, std::uint64_t seed) : aim_(aim), random_(seed) {
  if (aim_.size <= small_export) return;
  for (std::uint64_t i = 0; i < most_homes; ++i)
    homes_.push_back(random_.below(aim_.size / chunks.front()) * chunks.front());
}

std::uint64_t SceneMaker::somewhere(std::uint64_t chunk) {
  if (homes_.empty()) return random_.below(std::max<std::uint64_t>(1, aim_.size / chunk)) * chunk;
  return homes_[random_.below(homes_.size())] / chunk * chunk;
}

std::vector<Operation> SceneMaker::next() {
  scene_.clear();
  places_.clear();
  round_ = 0;
  choose_cast();
  choose_places();
  open();
  set_up();
  const std::size_t used = scene_.size() + places_.size() * 4;
  const std::size_t left = aim_.most_operations > used ? aim_.most_operations - used : 1;
  const std::size_t most = std::max<std::size_t>(1, left / (threads_ * 2));
  const unsigned rounds =
      walks_ ? static_cast<unsigned>(std::min(places_.size(), most))
             : static_cast<unsigned>(std::min<std::uint64_t>(most, 4 + random_.below(30)));
  play(rounds);
  look();
  return scene_;
}

// How many threads and connections, and who may use which.
void SceneMaker::choose_cast() {
  static constexpr std::array<unsigned, 8> crowds{2, 2, 2, 2, 3, 3, 4, 8};
  threads_ = std::min(crowds[random_.below(crowds.size())], std::max(2U, aim_.most_threads));
  connections_ = 1;
  if (!aim_.spread) {
    connections_ = threads_ = std::min(threads_, aim_.connections);
  } else if (aim_.connections > 1 && random_.percent(40)) {
    connections_ = static_cast<unsigned>(2 + random_.below(aim_.connections - 1));
  }
  own_slots_ = random_.percent(75);
  walks_ = false;
  coming_ = 0;
  if (connections_ > 1 && random_.percent(50))
    coming_ = static_cast<unsigned>(1 + random_.below(connections_));
  if (coming_ == connections_)
    threads_ = connections_;
  else if (aim_.spread)
    threads_ = std::max(threads_, coming_ + 1);
  // What is known at first.
  const std::uint64_t draw = random_.below(10);
  start_ = Start::written;
  if (draw >= 6 && aim_.can_zero) start_ = Start::zeroed;
  if (draw >= 8 && aim_.can_trim) start_ = Start::trimmed;
}

void SceneMaker::add_place(std::uint64_t begin, std::uint64_t length, std::uint64_t step,
                           unsigned connection) {
  step = std::max(aim_.block, fit(step));
  begin = fit(begin);
  length = std::min(fit(length), std::min(largest_place, fit(aim_.max_request)));
  length = std::max(length, aim_.block);
  if (begin >= fit(aim_.size)) return;
  length = std::min(length, fit(aim_.size) - begin);
  if (length == 0) return;
  places_.push_back({begin, length, std::min(step, length), connection});
}

void SceneMaker::choose_places() {
  if (connections_ > 1 && !aim_.shared) return choose_parts();
  const std::uint64_t chunk = std::max(chunks[random_.below(chunks.size())], aim_.block);
  const std::uint64_t at = somewhere(chunk);
  switch (aim_.atomic && random_.percent(60) ? 3 : random_.below(7)) {
    case 0:  // neighbours in a chunk
      add_place(at, std::min<std::uint64_t>(chunk, 64U << 10), random_.percent(70) ? 512 : 4096, 0);
      break;
    case 1: {  // both sides of a boundary
      const std::uint64_t edge = std::max(chunk, at);
      const std::uint64_t reach = std::min<std::uint64_t>(edge, 8192);
      add_place(edge - reach, 2 * reach, random_.percent(50) ? 512 : 2048, 0);
      own_slots_ = random_.percent(40);
      break;
    }
    case 2:  // parts of a sector, down to bytes
      add_place(at + 512 * random_.below(4), 1024, random_.percent(50) ? 16 : 3, 0);
      break;
    case 3:  // one and the same few sectors
      add_place(at, 1024, 512, 0);
      own_slots_ = false;
      break;
    case 4:  // far apart: what is shared is no part of the disk
      for (unsigned t = 0; t < threads_; ++t)
        add_place(somewhere(chunk), std::uint64_t{4096} << random_.below(4), 2048, 0);
      break;
    case 5:  // several chunks, used and given back
      for (std::uint64_t i = 0; i < 4; ++i) add_place(at + i * 4096, 4096, 512, 0);
      break;
    default:  // chunk after chunk, each for the first time
      walks_ = true;
      start_ = Start::untouched;
      if (fresh_ >= std::min(fit(aim_.size), walk_end_) || random_.percent(50)) {
        fresh_ = at;
        walk_end_ = at + longest_walk;
        if (aim_.can_trim) start_ = Start::trimmed;
        if (aim_.can_zero && random_.percent(60)) start_ = Start::zeroed;
      }
      for (std::uint64_t i = 0;
           i < std::max<std::size_t>(2, std::min<std::size_t>(24, aim_.most_operations / 6));
           ++i, fresh_ += std::min<std::uint64_t>(chunk, 65536))
        add_place(fresh_, 4096, 512, 0);
      own_slots_ = true;
      break;
  }
  if (places_.empty()) add_place(0, 4096, 512, 0);
}

// Connections that owe each other nothing stay away from each other.
void SceneMaker::choose_parts() {
  const std::uint64_t part = aim_.size / connections_;
  const std::uint64_t chunk = chunks[random_.below(2)];
  for (unsigned c = 0; c < connections_; ++c) {
    const std::uint64_t begin = c * part + gap;
    const std::uint64_t room = part > 2 * gap ? part - 2 * gap : aim_.block;
    const std::uint64_t length = std::min<std::uint64_t>(room, chunk);
    const std::uint64_t places = std::min((room - length) / length + 1, most_homes);
    add_place(begin + random_.below(places) * length, length, random_.percent(50) ? 512 : 2048, c);
  }
  own_slots_ = false;
  if (places_.size() == connections_) return;
  connections_ = 1;
  coming_ = 0;
  threads_ = aim_.spread ? 2 : 1;
  places_.clear();
  add_place(0, 4096, 512, 0);
}

Operation& SceneMaker::add(OpKind kind, unsigned connection, unsigned thread) {
  Operation op;
  op.kind = kind;
  op.connection = static_cast<std::uint8_t>(connection);
  op.thread = static_cast<std::uint8_t>(thread);
  op.round = round_;
  scene_.push_back(op);
  return scene_.back();
}

void SceneMaker::add_range(OpKind kind, unsigned connection, unsigned thread, std::uint64_t begin,
                           std::uint64_t length) {
  Operation& op = add(kind, connection, thread);
  op.offset = begin;
  op.count = static_cast<std::uint32_t>(length);
  if (modifies(kind)) op.tag = next_tag_++;
  if (kind == OpKind::zero && random_.percent(30)) op.flags = command_flag::no_hole;
  if (kind == OpKind::write && random_.percent(4)) op.payload = Payload::zeroes;
  if (modifies(kind) && aim_.can_fua && random_.percent(4)) op.flags |= command_flag::fua;
}

// nbdkit opens and closes a connection on its own thread.
unsigned SceneMaker::home_of(unsigned connection) const {
  return comes(connection) ? threads_ - (connections_ - connection) : connection % threads_;
}

void SceneMaker::open() {
  for (unsigned c = 0; c < connections_; ++c) {
    add(OpKind::open, c, home_of(c));
  }
  next_round();
}

void SceneMaker::set_up() {
  if (start_ == Start::untouched) return;
  for (const Place& place : places_) {
    const unsigned thread = aim_.spread ? 0 : place.connection;
    if (start_ == Start::trimmed)
      add_range(OpKind::trim, place.connection, thread, place.begin, place.length);
    else if (start_ == Start::zeroed)
      add_range(OpKind::zero, place.connection, thread, place.begin, place.length);
    else
      add_range(OpKind::write, place.connection, thread, place.begin, place.length);
  }
  next_round();
  if (connections_ == 1 || !aim_.can_flush) return;
  for (unsigned c = 0; c < (aim_.shared ? 1 : connections_); ++c)
    add(OpKind::flush, c, aim_.spread ? 0 : c);
  next_round();
}

unsigned SceneMaker::connection_for(unsigned thread, const Place& place) {
  if (connections_ == 1) return 0;
  if (!aim_.shared) return place.connection;
  if (!aim_.spread) return thread;
  const unsigned present = connections_ - coming_;
  return own_slots_ ? thread % present : static_cast<unsigned>(random_.below(present));
}

OpKind SceneMaker::pick_kind() {
  // What several connections owe each other begins with a flush.
  if (connections_ > 1 && aim_.can_flush && random_.percent(10)) return OpKind::flush;
  if (aim_.atomic && random_.percent(30)) return OpKind::read;
  const std::uint64_t draw = random_.below(100);
  if (draw < 50) return OpKind::write;
  if (draw < 80) return OpKind::read;
  if (draw < 87) return aim_.can_zero ? OpKind::zero : OpKind::write;
  if (draw < 92) return aim_.can_trim ? OpKind::trim : OpKind::read;
  if (draw < 96) return aim_.can_flush ? OpKind::flush : OpKind::read;
  if (draw < 98) return aim_.can_cache ? OpKind::cache : OpKind::read;
  return aim_.can_extents ? OpKind::extents : OpKind::write;
}

void SceneMaker::act(unsigned thread, const Place& place) {
  const OpKind kind = walks_ && random_.percent(80) ? OpKind::write : pick_kind();
  const unsigned connection = connection_for(thread, place);
  if (kind == OpKind::flush) {
    add(kind, connection, thread);
    return;
  }
  const std::uint64_t slots = std::max<std::uint64_t>(1, place.length / place.step);
  // Everything at times: a whole chunk is given back, or read.
  if (random_.percent(modifies(kind) && kind != OpKind::write ? 35 : 6) && !walks_) {
    add_range(kind, connection, thread, place.begin, place.length);
    return;
  }
  std::uint64_t slot = random_.below(slots);
  std::uint64_t count = 1;
  if (own_slots_ && slots >= threads_ && kind != OpKind::read)
    slot =
        slot / threads_ * threads_ + thread < slots ? slot / threads_ * threads_ + thread : thread;
  else
    count = 1 + random_.below(std::min<std::uint64_t>(slots - slot, 4));
  const std::uint64_t begin = place.begin + slot * place.step;
  const std::uint64_t end = slot + count >= slots ? place.begin + place.length
                                                  : place.begin + (slot + count) * place.step;
  add_range(kind, connection, thread, begin, end - begin);
}

void SceneMaker::play(unsigned rounds) {
  for (unsigned r = 0; r < rounds; ++r) {
    const unsigned each = walks_ ? 1 : static_cast<unsigned>(1 + random_.below(3));
    for (unsigned t = 0; t < threads_; ++t) {
      if (t >= threads_ - coming_) {
        churn(connections_ - (threads_ - t));
        continue;
      }
      for (unsigned i = 0; i < each; ++i) {
        const Place* place = &places_[walks_ ? r : random_.below(places_.size())];
        // A connection's own thread, and its own part.
        if (connections_ > 1 && !aim_.shared)
          place = &places_[aim_.spread ? t % places_.size() : t];
        if (aim_.shared || !comes(place->connection)) act(t, *place);
      }
    }
    next_round();
  }
}

// A connection closes and opens again while others work.
void SceneMaker::churn(unsigned connection) {
  const unsigned thread = home_of(connection);
  add(OpKind::close, connection, thread);
  add(OpKind::open, connection, thread);
  if (random_.percent(50)) {
    const Place& place = places_[aim_.shared ? random_.below(places_.size()) : connection];
    const OpKind kind = random_.percent(70) ? OpKind::read : OpKind::write;
    add_range(kind, connection, thread, place.begin, std::min(place.length, place.step * 2));
  }
}

// All is quiet: what is there, and is it there for everybody?
void SceneMaker::look() {
  if (connections_ > 1 && aim_.can_flush) {
    for (unsigned c = 0; c < connections_; ++c) {
      add(OpKind::flush, c, aim_.spread ? 0 : c);
      if (aim_.shared && c == 0) break;
    }
    next_round();
  }
  for (int twice = 0; twice < 2; ++twice) {
    for (const Place& place : places_) {
      const unsigned reader = aim_.shared && connections_ > 1
                                  ? static_cast<unsigned>(random_.below(connections_))
                                  : place.connection;
      add_range(OpKind::read, reader, aim_.spread ? 0 : reader, place.begin, place.length);
    }
    next_round();
  }
  // They all leave at once at times, so that the next ones come at once.
  if (connections_ == 1 || !random_.percent(50)) return;
  for (unsigned c = 0; c < connections_; ++c) add(OpKind::close, c, home_of(c));
}

}  // namespace nbdcheck
