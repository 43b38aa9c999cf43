#include "execute/sequence.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <thread>

#include "execute/extent_map.hpp"
#include "execute/second_look.hpp"
#include "execute/send.hpp"
#include "model/tags.hpp"
#include "nbdcheck/status_page.hpp"

namespace nbdcheck {
namespace {

// What a read buffer holds before the read: another value for each operation,
// never 0 or 0xff, which plugins write by themselves.
std::byte poison(std::uint64_t operation, unsigned round) {
  return static_cast<std::byte>(1 + (operation * 37 + round * 101) % 254);
}

// Bytes behind a read buffer that must stay as they are.  They also keep a
// small overrun from ruining our own heap, which would show as a crash in some
// innocent place.
constexpr std::size_t canary = 64;
constexpr std::byte canary_value{0xca};

// Of failures, in a sequence: each costs a few requests more.
constexpr int most_looks = 8;
// Of a read that fails: sectors in its range, and others, that are asked for.
constexpr std::size_t most_suspects = 64;
constexpr std::size_t most_others = 8;
// Maps are looked at again where a question begins at a multiple of this, and is as
// long at least: where clients ask.
constexpr std::uint64_t map_unit = 65536;
constexpr std::uint64_t most_of_map = 8U << 20;

// How much of either end of a written buffer is looked at.
constexpr std::size_t modified_end = 128;

// How much of a range called zero is read to see that it is.
constexpr std::uint32_t zero_sample = 4096;
constexpr int zero_samples = 4;

}  // namespace

SequenceRunner::SequenceRunner(Target& target, const Subject& subject, SequenceOptions options)
    : target_(target),
      options_(std::move(options)),
      size_(subject.info.size),
      block_(subject.minimum_block()),
      judge_(size_, options_.rules, subject.info.zero == zero_emulate) {}

SequenceRunner::~SequenceRunner() { close_all(); }

bool SequenceRunner::is_open(unsigned connection) const {
  return connection < sessions_.size() && sessions_[connection] != nullptr;
}

void SequenceRunner::close_all() {
  for (unsigned i = 0; i < sessions_.size(); ++i) {
    if (!sessions_[i]) continue;
    if (i < lanes_.size() && lanes_[i])
      lanes_[i]->run([&] { sessions_[i].reset(); });
    else
      sessions_[i].reset();
  }
}

std::span<std::byte> SequenceRunner::buffer(std::size_t size) {
  // Neither zeroed nor copied when it grows: whoever asks fills it.
  if (buffer_size_ < size + canary) {
    buffer_size_ = std::max(size + canary, 2 * buffer_size_);
    buffer_ = std::make_unique_for_overwrite<std::byte[]>(buffer_size_);
  }
  return {buffer_.get(), size};
}

std::optional<Violation> SequenceRunner::step(const Operation& op) {
  my_slot().plan_index.store(operations(), std::memory_order_relaxed);
  const auto run_and_look = [&] {
    auto violation = run(op);
    return violation ? violation : look_closer(op);
  };
  if (!options_.lanes) return run_and_look();
  if (lanes_.size() <= op.connection) lanes_.resize(op.connection + 1U);
  auto& lane = lanes_[op.connection];
  if (!lane) lane = std::make_unique<Lane>();
  std::optional<Violation> violation;
  const std::uint64_t index = operations();
  lane->run([&] {
    my_slot().plan_index.store(index, std::memory_order_relaxed);
    violation = run_and_look();
  });
  return violation;
}

std::optional<Violation> SequenceRunner::look_closer(const Operation& op) {
  if (!has_range(op.kind) || !is_open(op.connection)) return std::nullopt;
  if (reply_.ok())
    return options_.second_look && op.kind == OpKind::extents ? look_at_map(op) : std::nullopt;
  const bool unreadable = options_.watch_reads && op.kind == OpKind::read &&
                          !readable_[op.connection].changed(op.offset, op.count, 1).empty();
  if (!reply_.reached_plugin || !(options_.second_look || unreadable) || ++looks_ > most_looks)
    return std::nullopt;
  return look_at_failure(op);
}

// What is asked for here is entered like any other request: it may write.
std::optional<Violation> SequenceRunner::look_at_failure(const Operation& op) {
  std::optional<Violation> meanwhile;
  const Asker asker{[&](const Operation& again) {
                      if (!meanwhile) meanwhile = run(again);
                      return meanwhile ? ECANCELED : reply_.error;
                    },
                    options_.last_error};
  std::optional<Violation> found;
  if (options_.watch_reads && op.kind == OpKind::read) {
    const auto reads = [&](const std::vector<Readable::Range>& ranges) {
      std::vector<Operation> made;
      for (const auto& [offset, count] : ranges) {
        Operation read{.kind = OpKind::read, .connection = op.connection};
        read.offset = offset;
        read.count = count;
        made.push_back(read);
      }
      return made;
    };
    const Readable& readable = readable_[op.connection];
    found = look_at_unreadable(op, reads(readable.changed(op.offset, op.count, most_suspects)),
                               reads(readable.others(op.offset, op.count, most_others)), asker);
  }
  if (!found && !meanwhile && options_.second_look)
    found = look_again(op, sessions_[op.connection]->info(), block_, asker);
  return meanwhile ? meanwhile : found;
}

// What the last operation, on whichever connection, makes of what can be read.
void SequenceRunner::note(const Operation& op) {
  if (!options_.watch_reads) return;
  if (op.kind == OpKind::read) {
    if (reply_.ok()) readable_[op.connection].was_read(op.offset, op.count);
  } else if (modifies(op.kind)) {
    if (reply_.ok() && op.kind != OpKind::trim)
      readable_[op.connection].was_changed(op.offset, op.count);
    else  // half of it may be there
      for (Readable& readable : readable_) readable.forget(op.offset, op.count);
  }
}

std::optional<Violation> SequenceRunner::look_at_map(const Operation& op) {
  if (op.offset % map_unit != 0 || op.count < map_unit) return std::nullopt;
  MapWalker walker(*sessions_[op.connection], size_, block_);
  const std::uint64_t end = op.offset + std::min<std::uint64_t>(op.count, most_of_map);
  if (auto violation = walker.look_for_changes(op.offset, end)) return violation;
  // One other way each time; all of them cost too much.
  const auto& styles = MapWalker::styles;
  const std::uint64_t which = (op.offset / map_unit + op.count / map_unit) % styles.size();
  return walker.compare(op.offset, end, styles[which]);
}

std::optional<Violation> SequenceRunner::run(const Operation& op) {
  reply_ = {};
  if (op.kind == OpKind::open) {
    if (is_open(op.connection)) return std::nullopt;
    if (sessions_.size() <= op.connection) sessions_.resize(op.connection + 1U);
    auto session = target_.open(options_.export_name);
    if (session) {
      sessions_[op.connection] = std::move(*session);
      readable_.resize(sessions_.size(), Readable(size_ / block_ * block_, block_));
      readable_[op.connection] = Readable(size_ / block_ * block_, block_);
      sessions_[op.connection]->set_buffer_mode(options_.buffers);
      ++succeeded_;
    } else {
      open_failure_ = session.error().message;
      ++failed_;
    }
    judge_.enter(op, session ? 0 : EIO, {});
    return std::nullopt;
  }
  if (!is_open(op.connection)) return std::nullopt;
  Session& session = *sessions_[op.connection];
  if (has_range(op.kind) && (op.offset > size_ || op.count > size_ - op.offset || op.count == 0))
    return std::nullopt;
  switch (op.kind) {
    case OpKind::read: {
      auto violation = read(session, op);
      note(op);
      return violation;
    }
    case OpKind::extents:
      return extents(session, op);
    case OpKind::close:
      sessions_[op.connection].reset();
      judge_.enter(op, 0, {});
      ++succeeded_;
      return std::nullopt;
    default:
      break;
  }
  const auto data = payload(op);
  reply_ = send(session, op, data, size_);
  ++(reply_.ok() ? succeeded_ : failed_);
  judge_.enter(op, reply_.error, {});
  note(op);
  return options_.second_look && op.kind == OpKind::write ? modified(op, data) : std::nullopt;
}

std::optional<Violation> SequenceRunner::modified(const Operation& op,
                                                  std::span<const std::byte> data) const {
  const auto first_wrong = [&](std::size_t from, std::size_t count) {
    const auto part = data.subspan(from, count);
    const std::size_t good = op.payload == Payload::tags
                                 ? match_tags(part, op.offset + from, op.tag)
                             : op.payload == Payload::zeroes ? match_fill(part, std::byte{0})
                                                             : match_fill(part, std::byte{0xff});
    return good == part.size() ? data.size() : from + good;
  };
  // Whoever works in place changes its ends as well; guarded buffers see the rest.
  const std::size_t end = std::min(modified_end, data.size());
  const std::size_t good = std::min(first_wrong(0, end), first_wrong(data.size() - end, end));
  if (good == data.size()) return std::nullopt;
  Violation v;
  v.rule = "data.buffer-modified";
  v.message = fmt::format(
      "{} changed the buffer that it was given to read from: byte {} is another one afterwards.",
      describe(op), good);
  v.expected = "the buffer of .pwrite is left as it is";
  v.actual = fmt::format("byte {:#04x}", std::to_integer<unsigned>(data[good]));
  return v;
}

std::span<std::byte> SequenceRunner::payload(const Operation& op) {
  if (op.kind != OpKind::write) return {};
  const auto data = buffer(op.count);
  switch (op.payload) {
    case Payload::tags:
      fill_tags(data, op.offset, op.tag);
      break;
    case Payload::zeroes:
      std::memset(data.data(), 0, data.size());
      break;
    case Payload::ones:
      std::memset(data.data(), 0xff, data.size());
      break;
  }
  return data;
}

std::optional<Violation> SequenceRunner::read(Session& session, const Operation& op) {
  const auto data = buffer(op.count);
  std::memset(data.data(), static_cast<int>(poison(operations(), 0)), data.size());
  const std::span behind(data.data() + data.size(), canary);
  std::memset(behind.data(), static_cast<int>(canary_value), behind.size());
  const Reply reply = reply_ = session.read(data, op.offset, op.flags);
  ++(reply.ok() ? succeeded_ : failed_);
  if (match_fill(behind, canary_value) != behind.size()) {
    judge_.enter(op, ECANCELED, {});
    return overrun(op, behind);
  }
  if (!options_.judge_contents) {
    judge_.enter(op, reply.ok() ? ECANCELED : reply.error, {});
    return std::nullopt;
  }
  const auto mismatch = judge_.enter(op, reply.error, data);
  if (!mismatch) return std::nullopt;
  if (mismatch->expected.learnt && !options_.judge_unwritten) return std::nullopt;
  Violation violation = judge_.explain(*mismatch, data);
  if (mismatch->expected.learnt && contents_change(session, op)) {
    options_.judge_unwritten = false;
    violation.rule = "data.stable-contents";
    violation.message = fmt::format(
        "Reading [{}, {}) again and again, with nothing written to it, gives different data.",
        op.offset, op.offset + op.count);
    return violation;
  }
  const std::uint64_t at = mismatch->offset - op.offset;
  if (left_unfilled(session, op, at)) {
    violation.rule = "data.buffer-filled";
    violation.message = fmt::format(
        "{} returned 0 but did not set byte {} of the buffer (offset {}): whatever was in the "
        "buffer before, it is still there.",
        describe(op), at, mismatch->offset);
    violation.actual = "the byte keeps the value the buffer had before the call";
  }
  return violation;
}

Violation SequenceRunner::overrun(const Operation& op, std::span<const std::byte> behind) const {
  Violation v;
  v.rule = "data.buffer-overrun";
  v.message = fmt::format("{} wrote behind the end of its buffer: byte {} of a buffer of {} bytes.",
                          describe(op), op.count + match_fill(behind, canary_value), op.count);
  v.expected = "nothing outside buf[0, count) is touched";
  return v;
}

// Contents nobody wrote that change under our eyes are the plugin's nature (a
// clock, a random source), not the fault of the operation before.
bool SequenceRunner::contents_change(Session& session, const Operation& op) {
  std::vector<std::byte> first(op.count);
  std::vector<std::byte> again(op.count);
  if (!session.read(first, op.offset, op.flags).ok()) return false;
  for (int tries = 0; tries < options_.patience; ++tries) {
    std::this_thread::sleep_for(std::chrono::milliseconds(tries * tries * 2));
    if (!session.read(again, op.offset, op.flags).ok()) return false;
    if (again != first) return true;
  }
  return false;
}

bool SequenceRunner::left_unfilled(Session& session, const Operation& op, std::uint64_t at) {
  // Six different values in a row by chance: once in 2^48.
  std::vector<std::byte> again(op.count);
  for (unsigned round = 1; round <= 6; ++round) {
    const std::byte value = poison(operations(), round);
    std::memset(again.data(), static_cast<int>(value), again.size());
    if (!session.read(again, op.offset, op.flags).ok() || again[at] != value) return false;
  }
  return true;
}

std::optional<Violation> SequenceRunner::extents(Session& session, const Operation& op) {
  ExtentList list(op.offset, size_);
  const Reply reply = reply_ = session.extents(op.count, op.offset, op.flags, list);
  ++(reply.ok() ? succeeded_ : failed_);
  judge_.enter(op, reply.error, {});
  if (!reply.ok()) return refused_extents(session, op, reply.error);
  if (!options_.judge_contents) return std::nullopt;
  if (auto lie = judge_.judge_extents(op.connection, list)) return lie;

  // Bytes the reference disk does not know must read as zero all the same:
  // look at the ends of the first few pieces.
  int samples = 0;
  const std::uint64_t size = std::max<std::uint64_t>(zero_sample, block_);
  std::vector<std::byte> sample(size);
  for (const Extent& extent : list.extents()) {
    if ((extent.type & extent_type::zero) == 0 || extent.length < size) continue;
    if (++samples > zero_samples) break;
    const std::uint64_t last = (extent.offset + extent.length - size) / size * size;
    const std::uint64_t first = (extent.offset + size - 1) / size * size;
    for (const std::uint64_t at : {first, last}) {
      if (at < extent.offset || at + size > extent.offset + extent.length) continue;
      std::memset(sample.data(), 0xa5, sample.size());
      if (!session.read(sample, at, 0).ok()) continue;
      const std::size_t good = match_fill(sample, std::byte{0});
      if (good == sample.size()) continue;
      Violation v;
      v.rule = "extents.no-lie";
      v.message = fmt::format(
          "{} called [{}, {}) zero, but a read at once afterwards found data at offset {} ({:#x}).",
          describe(op), extent.offset, extent.offset + extent.length, at + good, at + good);
      v.expected = "zeroes, or an extent without NBDKIT_EXTENT_ZERO";
      v.actual = fmt::format("byte {:#04x}", std::to_integer<unsigned>(sample[good]));
      return v;
    }
  }
  return std::nullopt;
}

// No range that can be read may be refused by .extents.  A place that cannot
// be read either (a bad sector) is no fault of the map.
std::optional<Violation> SequenceRunner::refused_extents(Session& session, const Operation& op,
                                                         int error) {
  std::vector<std::byte> block(
      std::min<std::uint64_t>(std::max<std::uint64_t>(block_, 512), size_ - op.offset));
  if (!session.read(block, op.offset, 0).ok()) return std::nullopt;
  ExtentList list(op.offset, size_);
  if (session.extents(op.count, op.offset, op.flags, list).ok()) return std::nullopt;
  Violation v;
  v.rule = "extents.no-error";
  v.message = fmt::format("{} failed twice, although the range can be read.", describe(op));
  v.expected = "success";
  v.actual = fmt::format("errno {} ({})", error, std::strerror(error));
  return v;
}

}  // namespace nbdcheck
