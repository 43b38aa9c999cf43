#include "execute/second_look.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace nbdcheck {
namespace {

// A plugin may refuse every so many requests, whatever they are: what fails is asked
// for so often, each time after another number of others.
constexpr int rounds = 3;

bool means_not_supported(int error) { return error == ENOTSUP || error == EOPNOTSUPP; }

Operation part_of(const Operation& op, std::uint64_t offset, std::uint64_t count) {
  Operation part = op;
  part.offset = offset;
  part.count = static_cast<std::uint32_t>(count);
  return part;
}

const char* callback_of(OpKind kind) { return kind == OpKind::write ? "pwrite" : "pread"; }

Violation refused_zero(const char* rule, const Operation& op, const char* flags, int error,
                       const char* expected, const Asker& asker) {
  Violation v;
  v.rule = rule;
  v.message = fmt::format(
      "zero(count={}, offset={}, flags={}) fails with {}, twice, though {} of the same range "
      "works.",
      op.count, op.offset, flags, ::strerrorname_np(error),
      *flags == '0' ? "pwrite of zeroes" : "zero without the flag");
  v.expected = expected;
  v.actual = fmt::format("{} ({}): {}", ::strerrorname_np(error), std::strerror(error),
                         asker.last_error());
  return v;
}

// Of requests to choose from, the first that has this outcome.
const Operation* first_that(std::span<const Operation> choice, bool works, const Asker& asker) {
  for (const Operation& op : choice)
    if ((asker.ask(op) == 0) == works) return &op;
  return nullptr;
}

}  // namespace

// A .zero that declines must say so by ENOTSUP or EOPNOTSUPP: on those two nbdkit
// writes zeroes through .pwrite instead, any other errno is the client's to see.
std::optional<Violation> look_at_zero(const Operation& op, bool can_fast_zero, const Asker& asker) {
  Operation zero = op;
  zero.flags = 0;
  Operation write = op;
  write.kind = OpKind::write;
  write.payload = Payload::zeroes;
  write.flags = 0;
  const auto write_zeroes = [&] { return asker.ask(write) == 0; };
  const int error = asker.ask(zero);
  if (error != 0) {
    // Written by hand the same zeroes are accepted, before and after.
    if (write_zeroes() && asker.ask(zero) == error && write_zeroes())
      return refused_zero("zero.decline-errno", op, "0", error,
                          "success, or ENOTSUP or EOPNOTSUPP so that nbdkit uses .pwrite", asker);
    return std::nullopt;
  }
  if (!can_fast_zero) return std::nullopt;
  Operation fast = zero;
  fast.flags = command_flag::fast_zero;
  const int fast_error = asker.ask(fast);
  if (fast_error == 0 || means_not_supported(fast_error)) return std::nullopt;
  if (asker.ask(zero) != 0 || asker.ask(fast) != fast_error) return std::nullopt;
  return refused_zero("zero.fast-errno", op, "NBDKIT_FLAG_FAST_ZERO", fast_error,
                      "success, or ENOTSUP or EOPNOTSUPP at once", asker);
}

// For .trim there is no other way, so there the two errnos mean nothing.
std::optional<Violation> look_at_trim(const Operation& trim, const Asker& asker) {
  const int error = asker.ask(trim);
  if (!means_not_supported(error)) return std::nullopt;
  Violation v;
  v.rule = "trim.errno";
  v.message = fmt::format(
      "trim(count={}, offset={}) fails with {}, which nbdkit does not pass on: the client is told "
      "EINVAL.",
      trim.count, trim.offset, ::strerrorname_np(error));
  v.expected = "0 without doing anything (a trim is a hint), or .can_trim returns 0";
  v.actual = "error: " + asker.last_error();
  return v;
}

std::optional<Violation> look_at_last_block(OpKind kind, std::uint64_t size, std::uint64_t block,
                                            const Asker& asker) {
  if (size < 2 * block) return std::nullopt;
  const std::uint64_t last = size - block;
  // A write in the same 4 KiB, so that a full pool cannot tell them apart.
  if (kind == OpKind::write && (block >= 4096 || (last - block) / 4096 != last / 4096))
    return std::nullopt;
  const Operation any{.kind = kind};
  const auto works = [&](std::uint64_t at) { return asker.ask(part_of(any, at, block)) == 0; };
  // The same place again: once fails, once not, is not a matter of place.
  for (int round = 1; round <= rounds; ++round) {
    if (works(last)) return std::nullopt;
    for (int i = 0; i < round; ++i)
      if (!works(last - block)) return std::nullopt;
  }
  Violation v;
  v.rule = "data.last-byte";
  v.message = fmt::format(
      "{}(count={}, offset={}), the last {} of the export, fails; the same at offset {} works.",
      callback_of(kind), block, last, block == 1 ? "byte" : "block", last - block);
  v.expected = fmt::format("success: .get_size said {}", size);
  v.actual = "error: " + asker.last_error();
  return v;
}

std::optional<Violation> look_at_whole(const Operation& whole, std::uint64_t block,
                                       const Asker& asker) {
  if (whole.count < 2 * block) return std::nullopt;
  const std::uint64_t half = whole.count / 2 / block * block;
  const Operation first = part_of(whole, whole.offset, half);
  const Operation second = part_of(whole, whole.offset + half, whole.count - half);
  for (int round = 1; round <= rounds; ++round) {
    if (asker.ask(whole) == 0) return std::nullopt;
    for (int i = 0; i < round; ++i)
      if (asker.ask(first) != 0 || asker.ask(second) != 0) return std::nullopt;
  }
  Violation v;
  v.rule = "data.no-needless-error";
  v.message = fmt::format(
      "{}(count={}, offset={}) fails, although its two halves can be {}, before and after.",
      callback_of(whole.kind), whole.count, whole.offset,
      whole.kind == OpKind::write ? "written" : "read");
  v.expected = "success, or a limit announced through .block_size";
  v.actual = "error: " + asker.last_error();
  return v;
}

std::optional<Violation> look_at_unreadable(const Operation& failed,
                                            std::span<const Operation> suspects,
                                            std::span<const Operation> others, const Asker& asker) {
  const Operation* const lost = first_that(suspects, false, asker);
  const Operation* const other = lost == nullptr ? nullptr : first_that(others, true, asker);
  if (other == nullptr) return std::nullopt;
  int error = 0;
  for (int round = 1; round <= rounds + 1; ++round) {
    error = asker.ask(*lost);
    // Whoever has no memory may have some later.
    if (error == 0 || error == ENOMEM || error == EAGAIN || error == EINTR) return std::nullopt;
    for (int i = 0; i < round; ++i)
      if (asker.ask(*other) != 0) return std::nullopt;
  }
  Violation v;
  v.rule = "data.readable";
  v.message = fmt::format(
      "{} fails, again and again: pread(count={}, offset={}) could be read on this connection, was "
      "changed on it, and cannot be read any more. Other places can be read still, offset {} among "
      "them.",
      describe(failed), lost->count, lost->offset, other->offset);
  v.expected = "the data that were written";
  v.actual = fmt::format("{} ({}): {}", ::strerrorname_np(error), std::strerror(error),
                         asker.last_error());
  return v;
}

std::optional<Violation> look_again(const Operation& failed, const ExportInfo& info,
                                    std::uint64_t block, const Asker& asker) {
  const std::uint64_t size = info.size / block * block;
  switch (failed.kind) {
    case OpKind::read:
    case OpKind::write: {
      // Beyond what is announced a plugin may fail as it likes.
      const auto& announced = info.block_size;
      if (announced && announced->maximum != 0 && failed.count > announced->maximum)
        return std::nullopt;
      if (failed.offset % block != 0 || failed.count % block != 0) return std::nullopt;
      if (failed.offset + failed.count == size)
        if (auto found = look_at_last_block(failed.kind, size, block, asker)) return found;
      return look_at_whole(failed, block, asker);
    }
    case OpKind::zero:
      if (info.zero != zero_native || failed.count > max_request_size) return std::nullopt;
      return look_at_zero(failed, info.can_fast_zero, asker);
    case OpKind::trim:
      return look_at_trim(failed, asker);
    default:
      return std::nullopt;
  }
}

bool takes_second_look(std::string_view rule) {
  constexpr std::array<std::string_view, 7> rules{
      "zero.decline-errno",     "zero.fast-errno", "trim.errno",          "data.last-byte",
      "data.no-needless-error", "extents.stable",  "data.buffer-modified"};
  return std::ranges::find(rules, rule) != rules.end();
}

}  // namespace nbdcheck
