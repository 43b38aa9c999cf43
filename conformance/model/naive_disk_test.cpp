// The reference disk against the simplest thing that could be right: a list of
// possible values for each byte.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>

#include "model/reference_disk.hpp"
#include "model/tags.hpp"
#include "plan/random.hpp"

namespace nbdcheck {
namespace {

struct NaiveByte {
  enum class Kind { unread, any, known } kind = Kind::unread;
  bool learnt = false;
  std::vector<std::pair<Content, std::byte>> allowed = {};  // what each failed write may have left

  [[nodiscard]] bool permits(std::byte value) const {
    return kind != Kind::known || std::any_of(allowed.begin(), allowed.end(),
                                              [&](const auto& a) { return a.second == value; });
  }
};

class NaiveDisk {
 public:
  explicit NaiveDisk(std::size_t size) : bytes_(size) {}

  static std::byte value_of(Content content, std::uint64_t offset) {
    return content.kind == Content::Kind::fill ? static_cast<std::byte>(content.fill)
                                               : tag_byte(content.id, offset);
  }
  void set(std::uint64_t offset, std::uint64_t count, Content content) {
    for (std::uint64_t at = offset; at < offset + count; ++at) {
      if (content.kind == Content::Kind::any)
        bytes_[at] = {NaiveByte::Kind::any};
      else
        bytes_[at] = {NaiveByte::Kind::known, false, {{content, value_of(content, at)}}};
    }
  }
  void maybe(std::uint64_t offset, std::uint64_t count, Content content) {
    for (std::uint64_t at = offset; at < offset + count; ++at) {
      NaiveByte& byte = bytes_[at];
      if (byte.allowed.size() == 1 && !byte.learnt && byte.allowed[0].first == content) continue;
      byte.learnt = false;
      if (byte.kind != NaiveByte::Kind::known || content.kind == Content::Kind::any ||
          byte.allowed.size() == 50)
        byte = {NaiveByte::Kind::any};
      else
        byte.allowed.emplace_back(content, value_of(content, at));
    }
  }
  [[nodiscard]] std::optional<std::uint64_t> compare(std::uint64_t offset,
                                                     const std::vector<std::byte>& data) const {
    for (std::size_t i = 0; i < data.size(); ++i)
      if (!bytes_[offset + i].permits(data[i])) return offset + i;
    return std::nullopt;
  }
  std::optional<std::uint64_t> read(std::uint64_t offset, const std::vector<std::byte>& data) {
    const auto wrong = compare(offset, data);
    if (wrong) return wrong;
    for (std::size_t i = 0; i < data.size(); ++i)
      if (bytes_[offset + i].kind == NaiveByte::Kind::unread)
        bytes_[offset + i] = {NaiveByte::Kind::known, true, {{Content::unread(), data[i]}}};
    return std::nullopt;
  }
  [[nodiscard]] std::optional<std::uint64_t> first_nonzero(std::uint64_t offset,
                                                           std::uint64_t count) const {
    for (std::uint64_t at = offset; at < offset + count; ++at)
      if (!bytes_[at].permits(std::byte{0})) return at;
    return std::nullopt;
  }
  void learn_from(const NaiveDisk& other) {
    for (std::size_t i = 0; i < bytes_.size(); ++i)
      if (bytes_[i].kind == NaiveByte::Kind::unread && other.bytes_[i].learnt)
        bytes_[i] = other.bytes_[i];
  }
  void forget() { std::fill(bytes_.begin(), bytes_.end(), NaiveByte{}); }
  [[nodiscard]] const NaiveByte& at(std::uint64_t offset) const { return bytes_[offset]; }

 private:
  std::vector<NaiveByte> bytes_;
};

// Both disks, and all that is done to them.
class Pair {
 public:
  Pair(std::uint64_t size, Random& random)
      : size_(size), random_(random), real_(size), naive_(size) {}

  void step() {
    const std::uint64_t offset = random_.below(size_);
    const std::uint64_t most = size_ - offset;
    const std::uint64_t count = random_.percent(5) ? 0 : random_.logarithmic(1, most);
    const auto draw = random_.below(100);
    if (draw < 30) {
      const Content content = some_content();
      real_.set(offset, count, content);
      naive_.set(offset, count, content);
    } else if (draw < 50) {
      const Content content = some_content();
      real_.maybe(offset, count, content);
      naive_.maybe(offset, count, content);
    } else if (draw < 85) {
      const auto data = some_data(offset, count);
      const auto expected = naive_.read(offset, data);
      const auto found = real_.read(offset, data);
      RC_ASSERT(found.has_value() == expected.has_value());
      if (found) RC_ASSERT(found->offset == *expected);
    } else if (draw < 94) {
      const auto data = some_data(offset, count);
      const auto expected = naive_.compare(offset, data);
      const auto found = real_.compare(offset, data);
      RC_ASSERT(found.has_value() == expected.has_value());
      if (found) RC_ASSERT(found->offset == *expected);
    } else if (draw < 99) {
      RC_ASSERT(real_.first_nonzero(offset, count) == naive_.first_nonzero(offset, count));
    } else {
      real_.forget();
      naive_.forget();
    }
  }

  [[nodiscard]] bool agree() const {
    for (std::uint64_t at = 0; at < size_; ++at) {
      const Content content = real_.at(at);
      const NaiveByte& byte = naive_.at(at);
      auto found = real_.values(content, at);
      std::vector<std::byte> expected;
      for (const auto& [origin, value] : byte.allowed) expected.push_back(value);
      std::sort(found.begin(), found.end());
      std::sort(expected.begin(), expected.end());
      const bool both_unread =
          (content.kind == Content::Kind::unread) == (byte.kind == NaiveByte::Kind::unread);
      if (found != expected || content.learnt != byte.learnt || !both_unread) return false;
    }
    // The runs are in order, without a gap.
    std::uint64_t next = 0;
    bool good = true;
    real_.for_each(0, size_, [&](std::uint64_t begin, std::uint64_t end, Content) {
      good = good && begin == next && end > begin;
      next = end;
      return true;
    });
    return good && next == size_ && real_.runs() <= size_;
  }

  void learn_from(const Pair& other) {
    real_.learn_from(other.real_);
    naive_.learn_from(other.naive_);
  }

 private:
  Content some_content() {
    const auto tag = static_cast<std::uint32_t>(random_.between(1, 12));
    switch (random_.below(4)) {
      case 0:
        return Content::filled(0, tag);
      case 1:
        return Content::filled(static_cast<std::uint8_t>(tag), tag);
      case 2:
        return random_.percent(30) ? Content::any(tag) : Content::tagged(tag);
      default:
        return Content::tagged(tag);
    }
  }
  // Mostly what may be there.
  std::vector<std::byte> some_data(std::uint64_t offset, std::uint64_t count) {
    std::vector<std::byte> data(count);
    const bool plain = random_.percent(50);
    const auto fresh = static_cast<std::byte>(random_.below(3));
    for (std::size_t i = 0; i < count; ++i) {
      const NaiveByte& byte = naive_.at(offset + i);
      data[i] = byte.allowed.empty() ? (plain ? fresh : static_cast<std::byte>(random_.next()))
                                     : byte.allowed[random_.below(byte.allowed.size())].second;
    }
    if (count > 0 && random_.percent(25))
      data[random_.below(count)] = static_cast<std::byte>(random_.next());
    return data;
  }

  std::uint64_t size_;
  Random& random_;
  ReferenceDisk real_;
  NaiveDisk naive_;
};

RC_GTEST_PROP(NaiveDisk, SmallDisksAgree, ()) {
  const auto size = *rc::gen::inRange<std::uint64_t>(1, 200);
  const auto steps = *rc::gen::inRange(1, 150);
  Random random(*rc::gen::arbitrary<std::uint64_t>());
  Pair pair(size, random);
  for (int i = 0; i < steps; ++i) {
    pair.step();
    if (i % 16 == 0) RC_ASSERT(pair.agree());
  }
  RC_ASSERT(pair.agree());
}

RC_GTEST_PROP(NaiveDisk, WhatIsLearntFromAnotherAgrees, ()) {
  const auto size = *rc::gen::inRange<std::uint64_t>(1, 120);
  Random random(*rc::gen::arbitrary<std::uint64_t>());
  Pair one(size, random);
  Pair two(size, random);
  for (int round = 0; round < 4; ++round) {
    const auto steps = *rc::gen::inRange(0, 30);
    for (int i = 0; i < steps; ++i) (random.percent(50) ? one : two).step();
    one.learn_from(two);
    RC_ASSERT(one.agree());
    for (int i = 0; i < 5; ++i) one.step();
    RC_ASSERT(one.agree());
  }
}

// Around the size of the pieces in which unread data are learnt.
RC_GTEST_PROP(NaiveDisk, LargerDisksAgree, ()) {
  // 4096: first_nonzero looks that far into a mixture.
  const auto size = *rc::gen::inRange<std::uint64_t>(2000, 4097);
  Random random(*rc::gen::arbitrary<std::uint64_t>());
  Pair pair(size, random);
  for (int i = 0; i < 60; ++i) pair.step();
  RC_ASSERT(pair.agree());
}

// No mixtures longer than what first_nonzero looks at: only reads.
RC_GTEST_PROP(NaiveDisk, LongReadsAgree, ()) {
  const auto size = *rc::gen::inRange<std::uint64_t>(4096, 20'000);
  ReferenceDisk real(size);
  NaiveDisk naive(size);
  Random random(*rc::gen::arbitrary<std::uint64_t>());
  for (int i = 0; i < 12; ++i) {
    const std::uint64_t offset = random.below(size);
    std::vector<std::byte> data(random.logarithmic(1, size - offset));
    for (std::size_t at = 0; at < data.size(); ++at)
      data[at] = static_cast<std::byte>((offset + at) / 3000 % 2 == 0 ? 0 : (offset + at) * 7);
    if (random.percent(30)) data[random.below(data.size())] ^= std::byte{1};
    const auto expected = naive.read(offset, data);
    const auto found = real.read(offset, data);
    RC_ASSERT(found.has_value() == expected.has_value());
    if (found) RC_ASSERT(found->offset == *expected);
  }
}

}  // namespace
}  // namespace nbdcheck
