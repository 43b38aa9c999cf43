#include "judge/sequential.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "model/tags.hpp"

namespace nbdcheck {
namespace {

Content content_of(const Operation& op) {
  if (op.kind == OpKind::zero) return Content::filled(0, op.tag);
  if (op.kind == OpKind::trim) return Content::any(op.tag);
  switch (op.payload) {
    case Payload::zeroes:
      return Content::filled(0, op.tag);
    case Payload::ones:
      return Content::filled(0xff, op.tag);
    case Payload::tags:
      break;
  }
  return Content::tagged(op.tag);
}

bool covers(const Operation& op, std::uint64_t offset) {
  return has_range(op.kind) && op.offset <= offset && offset - op.offset < op.count;
}

std::string numbered(const Record& record, const History& history) {
  return fmt::format("[{}] {}", &record - history.data() + 1, describe(record.operation));
}

}  // namespace

std::optional<Mismatch> SequentialJudge::enter(const Operation& op, int error,
                                               std::span<const std::byte> data) {
  history_.push_back({op, error});
  switch (op.kind) {
    case OpKind::open:
      if (error == 0) views_.open(op.connection);
      break;
    case OpKind::close:
      views_.close(op.connection);
      break;
    case OpKind::flush:
      if (error == 0) views_.flush(op.connection);
      break;
    case OpKind::write:
    case OpKind::zero:
    case OpKind::trim:
      if (error == 0)
        views_.set(op.connection, op.offset, op.count, content_of(op),
                   (op.flags & command_flag::fua) != 0);
      else
        views_.maybe(op.connection, op.offset, op.count, content_of(op));
      break;
    case OpKind::read:
      if (error == 0) return views_.read(op.connection, op.offset, data);
      break;
    case OpKind::cache:
    case OpKind::extents:
      break;
  }
  return std::nullopt;
}

const Record* SequentialJudge::writer(const Content& content) const {
  if (content.learnt) return nullptr;
  if (content.kind != Content::Kind::fill && content.kind != Content::Kind::tagged) return nullptr;
  for (auto it = history_.rbegin(); it != history_.rend(); ++it)
    if (modifies(it->operation.kind) && it->operation.tag == content.id) return &*it;
  return nullptr;
}

// Which promise is broken: look at what came between the write that owns the
// byte and the read.  After shrinking every operation left is needed to show
// the fault, so the last one that had no business with this byte is its cause.
std::string SequentialJudge::rule_for(const Mismatch& mismatch, const Record* source) const {
  const Operation& read = history_.back().operation;
  const Record* owner = writer(mismatch.expected);
  const auto from = owner == nullptr ? history_.begin() : history_.begin() + (owner - history_.data()) + 1;
  bool reopened = false;
  const Operation* foreign = nullptr;  // on another connection
  const Operation* culprit = nullptr;
  for (auto it = from; it + 1 != history_.end(); ++it) {
    const Operation& op = it->operation;
    if (owner != nullptr && op.kind == OpKind::close &&
        op.connection == owner->operation.connection)
      reopened = true;
    // A change to these bytes after the owner's is its own, and failed; or that
    // of another connection, to what should be another disk.
    if (covers(op, mismatch.offset) && modifies(op.kind) &&
        (owner == nullptr || op.connection == owner->operation.connection))
      continue;
    if (op.connection != read.connection)
      foreign = &op;
    else if (modifies(op.kind) || op.kind == OpKind::flush || op.kind == OpKind::cache)
      culprit = &op;
  }
  // Its data are the proof.
  if (source != nullptr && source >= history_.data() + (from - history_.begin()) &&
      source->operation.connection == read.connection && !covers(source->operation, mismatch.offset))
    culprit = &source->operation;
  if (reopened) return "handle.persistence";
  if (owner != nullptr && owner->operation.connection != read.connection)
    return "handle.multi-conn";
  // Far from minimal: most operations are innocent.  Damage that begins where
  // the owner's range begins is a write that was lost.
  const bool lost = owner != nullptr && history_.size() > 50 &&
                    mismatch.offset == std::max(owner->operation.offset, read.offset);
  if (culprit != nullptr && modifies(culprit->kind) && !lost) {
    // Without a .zero of its own, the plugin only ever saw writes.
    if (culprit->kind == OpKind::zero && !zero_is_emulated_) return "zero.nothing-outside";
    if (culprit->kind == OpKind::trim) return "trim.nothing-outside";
    return "data.nothing-outside";
  }
  if (foreign != nullptr) return "handle.independent";
  if (owner == nullptr && mismatch.expected.kind != Content::Kind::mixed) {
    if (culprit == nullptr) return "data.stable-contents";
  } else if (owner != nullptr && owner->operation.kind == OpKind::zero &&
             (culprit == nullptr || culprit->kind == OpKind::flush || lost)) {
    if (!zero_is_emulated_) return "zero.reads-zero";
    culprit = nullptr;
  }
  if (culprit != nullptr && culprit->kind == OpKind::cache) return "cache.harmless";
  if (culprit != nullptr && culprit->kind == OpKind::flush) return "flush.harmless";
  return "data.read-your-writes";
}

std::string SequentialJudge::describe_content(const Content& content, std::uint64_t offset) const {
  if (content.kind == Content::Kind::mixed)
    return fmt::format("one of {} values that the writes before may have left",
                       views_.of(history_.back().operation.connection).values(content, offset).size());
  if (content.learnt || content.kind == Content::Kind::literal)
    return "what an earlier read returned there; nothing wrote to it since";
  const Record* owner = writer(content);
  return owner == nullptr ? "data known to be there" : "the data of " + numbered(*owner, history_);
}

// Where an offset that lost its high bits would find data of `op`: the place
// in its range that differs from `offset` by a multiple of 2^31 or 2^32.
std::optional<std::uint64_t> SequentialJudge::alias(const Operation& op, std::uint64_t offset,
                                                    std::span<const std::byte> data) {
  for (const unsigned bits : {31U, 32U}) {
    const std::uint64_t period = std::uint64_t{1} << bits;
    const std::uint64_t place = op.offset + (offset - op.offset) % period;
    if (place == offset || place >= op.offset + op.count) continue;
    const std::size_t room = std::min<std::uint64_t>(data.size(), op.offset + op.count - place);
    if (match_tags(data.first(room), place, op.tag) == room) return place;
  }
  return std::nullopt;
}

// Whose data the wrong bytes are, when they carry a tag of this run.
SequentialJudge::Origin SequentialJudge::origin(std::uint64_t offset,
                                                std::span<const std::byte> data,
                                                std::uint64_t data_offset) const {
  const auto at = data.subspan(offset - data_offset);
  // A range of zeroes is the most common wrong content; say so.
  const std::size_t look = std::min<std::size_t>(at.size(), 64);
  if (look >= 8 && match_fill(at.first(look), std::byte{0}) == look)
    return {nullptr, "zeroes"};
  for (auto it = history_.rbegin(); it != history_.rend(); ++it) {
    const Operation& op = it->operation;
    if (op.kind != OpKind::write || op.payload != Payload::tags) continue;
    if (look >= 4 && match_tags(at.first(look), offset, op.tag) == look)
      return {&*it, "the data of " + numbered(*it, history_)};
    if (const auto place = alias(op, offset, at.first(look)))
      return {&*it, fmt::format("the data of {} for offset {}: the two offsets differ by {}, as if "
                                "the high bits were lost",
                                numbered(*it, history_), *place,
                                *place % (1ULL << 32) == offset % (1ULL << 32)
                                    ? "a multiple of 2^32"
                                    : "2^31")};
    // Words of that write that belong elsewhere: search any byte alignment.
    for (std::size_t skip = 0; skip < 8 && skip + 8 <= at.size(); ++skip) {
      std::uint64_t word;
      std::memcpy(&word, at.data() + skip, 8);
      const auto place = tag_place(word, op.tag, op.offset, op.offset + op.count);
      if (place && *place != offset + skip)
        return {&*it, fmt::format("data of {} that belong at offset {} ({} bytes {})",
                                  numbered(*it, history_), *place,
                                  *place > offset + skip ? *place - offset - skip
                                                         : offset + skip - *place,
                                  *place > offset + skip ? "further on" : "further back")};
    }
  }
  return {};
}

std::vector<std::string> hex_around(std::uint64_t offset, std::span<const std::byte> data,
                                    std::uint64_t data_offset, const ReferenceDisk& disk) {
  std::vector<std::string> lines;
  const std::uint64_t first = std::max(data_offset, offset / 16 * 16 - std::min<std::uint64_t>(
                                                                          offset / 16 * 16, 16));
  const std::uint64_t last = std::min(data_offset + data.size(), offset / 16 * 16 + 32);
  for (std::uint64_t line = first / 16 * 16; line < last; line += 16) {
    std::string want;
    std::string got;
    for (std::uint64_t at = line; at < line + 16; ++at) {
      if (at < data_offset || at >= data_offset + data.size()) {
        want += "   ";
        got += "   ";
        continue;
      }
      const auto allowed = disk.values(disk.at(at), at);
      const std::byte found = data[at - data_offset];
      want += allowed.empty() ? " ??"
                              : fmt::format(" {:02x}", std::to_integer<unsigned>(allowed.front()));
      got += fmt::format("{}{:02x}", at == offset ? '>' : ' ', std::to_integer<unsigned>(found));
    }
    lines.push_back(fmt::format("{:012x}  expected {}", line, want));
    lines.push_back(fmt::format("{:12}  actual   {}", "", got));
  }
  return lines;
}

Violation SequentialJudge::explain(const Mismatch& mismatch,
                                   std::span<const std::byte> data) const {
  const Operation& read = history_.back().operation;
  const ReferenceDisk& disk = views_.of(read.connection);
  std::uint64_t wrong = 0;
  for (std::uint64_t at = mismatch.offset; at < read.offset + data.size(); ++at) {
    const auto allowed = disk.values(disk.at(at), at);
    const std::byte found = data[at - read.offset];
    if (!allowed.empty() && std::find(allowed.begin(), allowed.end(), found) == allowed.end())
      ++wrong;
    if (at - mismatch.offset > 1U << 16) break;
  }
  Violation v;
  const Origin from = origin(mismatch.offset, data, read.offset);
  v.rule = rule_for(mismatch, from.source);
  v.message = fmt::format(
      "{} returned wrong data: the first of {}{} wrong byte{} is at offset {} ({:#x}), byte {} of "
      "the buffer.",
      numbered(history_.back(), history_), wrong > 1U << 16 ? "over " : "", wrong,
      wrong == 1 ? "" : "s", mismatch.offset, mismatch.offset, mismatch.offset - read.offset);
  v.expected = describe_content(mismatch.expected, mismatch.offset);
  v.actual = from.words.empty() ? "data that none of these operations wrote there" : from.words;
  v.details = hex_around(mismatch.offset, data, read.offset, disk);
  return v;
}

std::optional<Violation> SequentialJudge::judge_extents(int connection,
                                                        const ExtentList& list) const {
  const ReferenceDisk& disk = views_.of(connection);
  for (const Extent& extent : list.extents()) {
    if ((extent.type & extent_type::zero) == 0) continue;
    const auto at = disk.first_nonzero(extent.offset, extent.length);
    if (!at) continue;
    Violation v;
    v.rule = "extents.no-lie";
    v.message = fmt::format("{} called [{}, {}) zero, but it holds data from offset {} ({:#x}) on.",
                            numbered(history_.back(), history_), extent.offset,
                            extent.offset + extent.length, *at, *at);
    v.expected = describe_content(disk.at(*at), *at) + ": an extent without NBDKIT_EXTENT_ZERO";
    v.actual = fmt::format("offset={} length={} type={}", extent.offset, extent.length,
                           (extent.type & extent_type::hole) != 0 ? "HOLE|ZERO" : "ZERO");
    return v;
  }
  return std::nullopt;
}

}  // namespace nbdcheck
