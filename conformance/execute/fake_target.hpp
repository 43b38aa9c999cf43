// An export in memory that does what it should, or one thing that it should
// not.
#pragma once

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <thread>

#include "nbdcheck/target.hpp"
#include "subject.hpp"

namespace nbdcheck::testing {

enum class Fault {
  none,
  lost_write,
  unfilled_read,
  unstable_contents,
  writes_behind,
  lying_extents,
  lying_unwritten_extents,
  failing_extents,
  zero_does_nothing,
  everything_fails,
  refuses_to_open,
  forgets_on_close,
  refuses_long,       // over 4096 bytes
  changes_buffers,    // of writes
  fickle_extents,     // another answer every time
  coarse_extents,     // no hole where over 100000 bytes are asked for
  zero_ruins_sector,  // 512 bytes that cannot be read any more
  gone_after_zero,    // nor can anything
  bad_sector,         // 8192 to 8704
  every_third_read,   // fails
  every_fourth_read,
};

class FakeTarget final : public Target {
 public:
  explicit FakeTarget(Fault fault, std::size_t size = 1 << 16) : fault_(fault), disk_(size) {
    if (fault == Fault::lying_unwritten_extents) disk_.back() = std::byte{1};
  }

  Subject subject() const {
    Subject subject;
    subject.info.size = disk_.size();
    subject.info.can_write = subject.info.can_flush = subject.info.can_trim = true;
    subject.info.zero = zero_native;
    subject.info.can_extents = true;
    return subject;
  }
  tl::expected<std::unique_ptr<Session>, Failure> open(std::string_view) override {
    if (fault_ == Fault::refuses_to_open)
      return tl::unexpected(Failure{Callback::open, "no such export", true, 0});
    return std::make_unique<FakeSession>(*this);
  }
  std::vector<std::thread::id> threads;  // of each session, in order of opening

 private:
  class FakeSession final : public Session {
   public:
    explicit FakeSession(FakeTarget& target) : target_(target), info_(target.subject().info) {
      target.threads.push_back(std::this_thread::get_id());
    }
    ~FakeSession() override {
      if (is(Fault::forgets_on_close)) std::ranges::fill(target_.disk_, std::byte{0});
    }
    const ExportInfo& info() const override { return info_; }
    Reply read(std::span<std::byte> buffer, std::uint64_t offset, std::uint32_t) override {
      if (is(Fault::everything_fails)) return {EIO, true};
      if (is(Fault::refuses_long) && buffer.size() > 4096) return {EINVAL, true};
      if (fails_to_read(offset, buffer.size())) return {EIO, true};
      const std::size_t count =
          is(Fault::unfilled_read) ? buffer.size() - buffer.size() / 4 : buffer.size();
      std::memcpy(buffer.data(), target_.disk_.data() + offset, count);
      if (is(Fault::unstable_contents)) buffer[0] = static_cast<std::byte>(++target_.clock_);
      return {0, true};
    }
    Reply write(std::span<const std::byte> data, std::uint64_t offset, std::uint32_t) override {
      if (is(Fault::everything_fails)) return {ENOSPC, true};
      if (is(Fault::lost_write)) return {0, true};
      if (is(Fault::refuses_long) && data.size() > 4096) return {EINVAL, true};
      const bool behind = is(Fault::writes_behind) && offset + data.size() < target_.disk_.size();
      std::memcpy(target_.disk_.data() + offset, data.data(), data.size());
      if (is(Fault::changes_buffers))
        const_cast<std::byte&>(data.front()) ^= std::byte{1};  // as plugins in C can
      if (behind) target_.disk_[offset + data.size()] ^= std::byte{0xff};
      return {0, true};
    }
    Reply flush() override { return done(); }
    Reply trim(std::uint32_t, std::uint64_t, std::uint32_t) override { return done(); }
    Reply zero(std::uint32_t count, std::uint64_t offset, std::uint32_t) override {
      if (!is(Fault::zero_does_nothing)) std::memset(target_.disk_.data() + offset, 0, count);
      target_.zeroed_ = offset;
      return done();
    }
    Reply cache(std::uint32_t, std::uint64_t) override { return done(); }
    Reply extents(std::uint32_t count, std::uint64_t offset, std::uint32_t,
                  ExtentList& list) override {
      if (is(Fault::failing_extents) || is(Fault::everything_fails)) return {EIO, true};
      if ((is(Fault::fickle_extents) && ++target_.clock_ % 2 == 0) ||
          (is(Fault::coarse_extents) && count < 100'000)) {
        list.add(offset, target_.disk_.size() - offset, extent_type::hole | extent_type::zero);
        return done();
      }
      const bool lie = is(Fault::lying_extents) || is(Fault::lying_unwritten_extents);
      list.add(offset, target_.disk_.size() - offset, lie ? extent_type::zero : 0);
      return done();
    }

   private:
    [[nodiscard]] bool is(Fault fault) const { return target_.fault_ == fault; }
    [[nodiscard]] bool fails_to_read(std::uint64_t offset, std::uint64_t count) {
      const auto covers = [&](std::uint64_t sector) {
        return offset < sector + 512 && sector < offset + count;
      };
      const unsigned reads = ++target_.reads_;
      return (is(Fault::every_third_read) && reads % 3 == 0) ||
             (is(Fault::every_fourth_read) && reads % 4 == 0) ||
             (is(Fault::bad_sector) && covers(8192)) ||
             (is(Fault::gone_after_zero) && target_.zeroed_) ||
             (is(Fault::zero_ruins_sector) && target_.zeroed_ && covers(*target_.zeroed_));
    }
    [[nodiscard]] Reply done() const { return {is(Fault::everything_fails) ? EIO : 0, true}; }
    FakeTarget& target_;
    ExportInfo info_;
  };

  Fault fault_;
  unsigned clock_ = 0;
  unsigned reads_ = 0;
  std::optional<std::uint64_t> zeroed_;  // the last place
  std::vector<std::byte> disk_;
};

}  // namespace nbdcheck::testing
