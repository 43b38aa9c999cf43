#include "model/reference_disk.hpp"

#include <algorithm>
#include <cstring>

#include "model/tags.hpp"

namespace nbdcheck {
namespace {

// Unread data are learnt in pieces of this size: long stretches of zeroes cost
// one run, not memory.
constexpr std::uint64_t learning_piece = 4096;

}  // namespace

ReferenceDisk::ReferenceDisk(std::uint64_t size) : size_(size) { forget(); }

void ReferenceDisk::forget() {
  runs_.clear();
  runs_.emplace(0, Content::unread());
  literals_.clear();
  mixtures_.clear();
  literal_bytes_ = 0;
}

void ReferenceDisk::set(std::uint64_t offset, std::uint64_t count, Content content) {
  if (count == 0) return;
  const std::uint64_t end = offset + count;
  auto first = runs_.upper_bound(offset);  // first run that starts after offset
  auto it = std::prev(first);              // the run that holds offset
  // The common case: exactly one run is overwritten.
  if (it->first == offset && (first == runs_.end() ? size_ : first->first) == end) {
    it->second = content;
    return;
  }
  // What follows the range keeps its content.
  auto last = first;
  Content after = it->second;
  while (last != runs_.end() && last->first <= end) {
    after = last->second;
    ++last;
  }
  const bool whole = it->first == offset;
  const auto before = whole ? (it == runs_.begin() ? runs_.end() : std::prev(it)) : it;
  const bool continues = before != runs_.end() && before->second == content;
  auto hint = runs_.erase(whole ? it : first, last);
  if (end < size_ && !(after == content)) hint = runs_.emplace_hint(hint, end, after);
  if (!continues) runs_.emplace_hint(hint, offset, content);
}

Content ReferenceDisk::mix(Content a, Content b) {
  if (a == b) return a;
  // Whatever the byte was or is, nobody can say: no judgement.
  for (const Content& c : {a, b})
    if (c.kind == Content::Kind::unread || c.kind == Content::Kind::any) return Content::any(b.id);
  Mixture all;
  const auto append = [&](Content c) {
    if (c.kind == Content::Kind::mixed) {
      const Mixture& parts = mixtures_[c.id];
      all.insert(all.end(), parts.begin(), parts.end());
    } else {
      all.push_back(c);
    }
  };
  append(a);
  append(b);
  // A byte that fifty failed writes might have set tells nothing any more.
  if (all.size() > 50) return Content::any(b.id);
  mixtures_.push_back(std::move(all));
  return {Content::Kind::mixed, 0, false, static_cast<std::uint32_t>(mixtures_.size() - 1)};
}

void ReferenceDisk::maybe(std::uint64_t offset, std::uint64_t count, Content content) {
  struct Piece {
    std::uint64_t begin, end;
    Content content;
  };
  std::vector<Piece> pieces;
  for_each(offset, count, [&](std::uint64_t begin, std::uint64_t end, Content old) {
    pieces.push_back({begin, end, old});
    return true;
  });
  for (const Piece& piece : pieces)
    set(piece.begin, piece.end - piece.begin, mix(piece.content, content));
}

std::size_t ReferenceDisk::match(Content content, std::uint64_t offset,
                                 std::span<const std::byte> data) const {
  switch (content.kind) {
    case Content::Kind::unread:
    case Content::Kind::any:
      return data.size();
    case Content::Kind::fill:
      return match_fill(data, static_cast<std::byte>(content.fill));
    case Content::Kind::tagged:
      return match_tags(data, offset, content.id);
    case Content::Kind::literal: {
      const Literal& literal = literals_[content.id];
      const std::byte* want = literal.bytes.data() + (offset - literal.offset);
      if (std::memcmp(want, data.data(), data.size()) == 0) return data.size();
      return static_cast<std::size_t>(std::mismatch(data.begin(), data.end(), want).first -
                                      data.begin());
    }
    case Content::Kind::mixed: {
      std::size_t i = 0;
      for (; i < data.size(); ++i) {
        const auto allowed = values(content, offset + i);
        if (std::find(allowed.begin(), allowed.end(), data[i]) == allowed.end()) break;
      }
      return i;
    }
  }
  return data.size();
}

std::vector<std::byte> ReferenceDisk::values(Content content, std::uint64_t offset) const {
  switch (content.kind) {
    case Content::Kind::unread:
    case Content::Kind::any:
      return {};
    case Content::Kind::fill:
      return {static_cast<std::byte>(content.fill)};
    case Content::Kind::tagged:
      return {tag_byte(content.id, offset)};
    case Content::Kind::literal: {
      const Literal& literal = literals_[content.id];
      return {literal.bytes[offset - literal.offset]};
    }
    case Content::Kind::mixed: {
      std::vector<std::byte> all;
      for (const Content& part : mixtures_[content.id]) all.push_back(values(part, offset).front());
      return all;
    }
  }
  return {};
}

std::optional<Mismatch> ReferenceDisk::compare(std::uint64_t offset,
                                               std::span<const std::byte> data) const {
  std::optional<Mismatch> found;
  for_each(offset, data.size(), [&](std::uint64_t begin, std::uint64_t end, Content content) {
    const auto part = data.subspan(begin - offset, end - begin);
    const std::size_t good = match(content, begin, part);
    if (good == part.size()) return true;
    found = Mismatch{begin + good, content};
    return false;
  });
  return found;
}

std::optional<Mismatch> ReferenceDisk::read(std::uint64_t offset, std::span<const std::byte> data) {
  bool unread = false;
  std::optional<Mismatch> found;
  for_each(offset, data.size(), [&](std::uint64_t begin, std::uint64_t end, Content content) {
    if (content.kind == Content::Kind::unread) {
      unread = true;
      return true;
    }
    const auto part = data.subspan(begin - offset, end - begin);
    const std::size_t good = match(content, begin, part);
    if (good == part.size()) return true;
    found = Mismatch{begin + good, content};
    return false;
  });
  if (unread && !found) learn(offset, data);
  return found;
}

void ReferenceDisk::learn(std::uint64_t offset, std::span<const std::byte> data) {
  struct Piece {
    std::uint64_t begin, end;
  };
  std::vector<Piece> unread;
  for_each(offset, data.size(), [&](std::uint64_t begin, std::uint64_t end, Content content) {
    if (content.kind == Content::Kind::unread) unread.push_back({begin, end});
    return true;
  });
  // Pieces alike are one run at once: most of a new disk is zeroes.
  Piece alike{0, 0};
  Content filled{Content::Kind::fill, 0, true, 0};
  for (const Piece& run : unread) {
    for (std::uint64_t begin = run.begin; begin < run.end;) {
      const std::uint64_t end = std::min(run.end, (begin / learning_piece + 1) * learning_piece);
      const auto part = data.subspan(begin - offset, end - begin);
      if (match_fill(part, part[0]) != part.size()) {
        learn_literal(begin, part);
      } else if (alike.end == begin && filled.fill == std::to_integer<std::uint8_t>(part[0])) {
        alike.end = end;
      } else {
        set(alike.begin, alike.end - alike.begin, filled);
        alike = {begin, end};
        filled = {Content::Kind::fill, std::to_integer<std::uint8_t>(part[0]), true, 0};
      }
      begin = end;
    }
  }
  set(alike.begin, alike.end - alike.begin, filled);
}

void ReferenceDisk::learn_literal(std::uint64_t offset, std::span<const std::byte> data) {
  if (literal_bytes_ + data.size() > literal_limit) return;
  literal_bytes_ += data.size();
  literals_.push_back({offset, {data.begin(), data.end()}});
  set(offset, data.size(),
      {Content::Kind::literal, 0, true, static_cast<std::uint32_t>(literals_.size() - 1)});
}

Content ReferenceDisk::at(std::uint64_t offset) const {
  return std::prev(runs_.upper_bound(offset))->second;
}

std::optional<std::uint64_t> ReferenceDisk::first_nonzero(std::uint64_t offset,
                                                          std::uint64_t count) const {
  std::optional<std::uint64_t> found;
  for_each(offset, count, [&](std::uint64_t begin, std::uint64_t end, Content content) {
    if (content.kind == Content::Kind::unread || content.kind == Content::Kind::any) return true;
    if (content.kind == Content::Kind::fill && content.fill == 0) return true;
    // A run of data has a byte that is not zero near its start; a mixture may
    // hold zeroes throughout, so look only so far.
    const std::uint64_t stop = std::min(end, begin + 4096);
    for (std::uint64_t at = begin; at < stop; ++at) {
      const auto allowed = values(content, at);
      if (std::none_of(allowed.begin(), allowed.end(),
                       [](std::byte b) { return b == std::byte{0}; })) {
        found = at;
        return false;
      }
    }
    return true;
  });
  return found;
}

Content ReferenceDisk::import(const ReferenceDisk& other, Content content) {
  if (content.kind == Content::Kind::literal) {
    literals_.push_back(other.literals_[content.id]);
    literal_bytes_ += literals_.back().bytes.size();
    content.id = static_cast<std::uint32_t>(literals_.size() - 1);
  }
  return content;
}

void ReferenceDisk::learn_from(const ReferenceDisk& other) {
  struct Piece {
    std::uint64_t begin, end;
    Content content;
  };
  std::vector<Piece> pieces;
  for_each(0, size_, [&](std::uint64_t begin, std::uint64_t end, Content mine) {
    if (mine.kind != Content::Kind::unread) return true;
    other.for_each(begin, end - begin, [&](std::uint64_t b, std::uint64_t e, Content theirs) {
      if (theirs.learnt) pieces.push_back({b, e, theirs});
      return true;
    });
    return true;
  });
  for (const Piece& piece : pieces)
    set(piece.begin, piece.end - piece.begin, import(other, piece.content));
}

}  // namespace nbdcheck
