#include "judge/collision.hpp"

#include <algorithm>
#include <array>
#include <cstring>

#include <fmt/format.h>

namespace nbdcheck {
namespace {

constexpr std::uint64_t sector = 512;
constexpr std::uint64_t word = 8;

class Judge {
 public:
  Judge(std::span<const CollisionOp, 2> ops, std::span<const std::string, 2> names,
        std::span<const CollisionRange> ranges)
      : ops_(ops), names_(names), ranges_(ranges) {}

  std::optional<Clash> judge() {
    for (const bool torn : {false, true}) {
      for (const CollisionRange& range : ranges_)
        if (auto clash = final_contents(range, torn)) return clash;
      for (const std::size_t reader : {std::size_t{0}, std::size_t{1}})
        if (auto clash = what_was_read(reader, torn)) return clash;
    }
    return std::nullopt;
  }

 private:
  // What an operation puts at a place; no value: it does not touch it, or
  // nobody knows (trim).
  [[nodiscard]] std::optional<std::byte> value(const CollisionOp& op, std::uint64_t at) const {
    if (!covers(op, at)) return std::nullopt;
    if (op.kind == OpKind::zero) return std::byte{0};
    if (op.kind == OpKind::write) return op.data[at - op.offset];
    return std::nullopt;
  }

  static bool covers(const CollisionOp& op, std::uint64_t at) {
    return at >= op.offset && at - op.offset < op.count;
  }
  static bool covers(const CollisionOp& op, std::uint64_t at, std::uint64_t count) {
    return at >= op.offset && at - op.offset + count <= op.count;
  }
  [[nodiscard]] bool trimmed(std::uint64_t at) const {
    return std::any_of(ops_.begin(), ops_.end(), [at](const CollisionOp& op) {
      return op.kind == OpKind::trim && covers(op, at);
    });
  }

  [[nodiscard]] std::optional<std::byte> before(std::uint64_t at) const {
    for (const CollisionRange& range : ranges_)
      if (at >= range.offset && at - range.offset < range.before.size())
        return range.before[at - range.offset];
    return std::nullopt;
  }

  // `reader`: for what that operation read, while the other one was running;
  // 2: for what is there at the end.
  [[nodiscard]] bool allowed(std::uint64_t at, std::byte found, std::size_t reader) const {
    if (trimmed(at)) return true;
    bool overwritten = false;
    for (std::size_t i = 0; i < 2; ++i) {
      if (i == reader) continue;
      const auto written = value(ops_[i], at);
      if (!written) continue;
      if (*written == found) return true;
      overwritten = overwritten || ops_[i].succeeded;
    }
    if (overwritten && reader == 2) return false;
    const auto old = before(at);
    return !old || *old == found;
  }

  std::optional<Clash> final_contents(const CollisionRange& range, bool torn) const {
    if (torn) return torn_sector(range.after, range.offset, 2);
    for (std::size_t i = 0; i < range.after.size(); ++i)
      if (!allowed(range.offset + i, range.after[i], 2))
        return clash(range.after, i, range.offset, 2);
    return std::nullopt;
  }

  std::optional<Clash> what_was_read(std::size_t reader, bool torn) const {
    const CollisionOp& op = ops_[reader];
    if (op.kind != OpKind::read || !op.succeeded) return std::nullopt;
    if (torn) return torn_sector(op.data, op.offset, reader);
    for (std::size_t i = 0; i < op.data.size(); ++i)
      if (!allowed(op.offset + i, op.data[i], reader)) return clash(op.data, i, op.offset, reader);
    return std::nullopt;
  }

  // A sector that both could have filled, and that has some of each.
  std::optional<Clash> torn_sector(std::span<const std::byte> data, std::uint64_t offset,
                                   std::size_t reader) const {
    for (std::uint64_t at = (offset + sector - 1) / sector * sector;
         at + sector <= offset + data.size(); at += sector) {
      std::array<bool, 3> whole{};  // all of it is A's, B's, what was there
      std::size_t sources = 0;
      bool decided = true;
      for (std::size_t source = 0; source < 3; ++source) {
        if (source == reader) continue;
        if (source < 2 && !writes_all(ops_[source], at)) {
          decided = decided && !touches(ops_[source], at);
          continue;
        }
        if (source == 2 && (reader == 2 || !before(at))) continue;
        ++sources;
        whole[source] = matches(data.subspan(at - offset, sector), at, source);
      }
      if (decided && sources == 2 && !whole[0] && !whole[1] && !whole[2])
        return torn_clash(at, reader);
    }
    return std::nullopt;
  }

  static bool writes_all(const CollisionOp& op, std::uint64_t at) {
    return (op.kind == OpKind::write || op.kind == OpKind::zero) && op.succeeded &&
           covers(op, at, sector);
  }
  static bool touches(const CollisionOp& op, std::uint64_t at) {
    return modifies(op.kind) && op.offset < at + sector && at < op.offset + op.count;
  }

  [[nodiscard]] bool matches(std::span<const std::byte> data, std::uint64_t at,
                             std::size_t source) const {
    for (std::size_t i = 0; i < data.size(); ++i) {
      const auto there = source < 2 ? value(ops_[source], at + i) : before(at + i);
      if (there != data[i]) return false;
    }
    return true;
  }

  // Whose the word around data[i] is.
  [[nodiscard]] std::string describe(std::span<const std::byte> data, std::size_t i,
                                     std::uint64_t offset) const {
    const std::size_t begin = i - std::min<std::size_t>(i, (offset + i) % word);
    const auto found = data.subspan(begin, std::min<std::size_t>(word, data.size() - begin));
    const std::uint64_t at = offset + begin;
    if (matches(found, at, 2)) return "what was there before";
    for (std::size_t op = 0; op < 2; ++op)
      if (matches(found, at, op)) return "the data of " + names_[op];
    if (std::all_of(found.begin(), found.end(), [](std::byte b) { return b == std::byte{0}; }))
      return "zeroes";
    for (std::size_t op = 0; op < 2; ++op)
      if (const auto place = elsewhere(ops_[op].data, found))
        return fmt::format("the data of {} for offset {}", names_[op], ops_[op].offset + *place);
    for (const CollisionRange& range : ranges_)
      if (const auto place = elsewhere(range.before, found))
        return fmt::format("what was at offset {} before", range.offset + *place);
    return "data of neither";
  }

  static std::optional<std::size_t> elsewhere(std::span<const std::byte> data,
                                              std::span<const std::byte> part) {
    if (part.size() < word) return std::nullopt;
    const auto at = std::search(data.begin(), data.end(), part.begin(), part.end());
    if (at == data.end()) return std::nullopt;
    return static_cast<std::size_t>(at - data.begin());
  }

  [[nodiscard]] std::string wanted(std::uint64_t at, std::size_t reader) const {
    std::string text;
    const auto add = [&text](const std::string& more) {
      text += (text.empty() ? "" : ", or ") + more;
    };
    bool overwritten = false;
    for (std::size_t i = 0; i < 2; ++i) {
      if (i == reader || !value(ops_[i], at)) continue;
      add(ops_[i].kind == OpKind::zero ? "zeroes" : "the data of " + names_[i]);
      overwritten = overwritten || ops_[i].succeeded;
    }
    if (reader != 2 || !overwritten) add("what was there before");
    return text;
  }

  [[nodiscard]] Clash clash(std::span<const std::byte> data, std::size_t i, std::uint64_t offset,
                            std::size_t reader) const {
    Clash result;
    const std::uint64_t at = offset + i;
    result.message =
        reader == 2 ? fmt::format("Afterwards offset {} holds {}.", at, describe(data, i, offset))
                    : fmt::format("{} returned {} at offset {}.", names_[reader],
                                  describe(data, i, offset), at);
    result.expected = fmt::format("at offset {}: {}", at, wanted(at, reader));
    result.actual = describe(data, i, offset);
    return result;
  }

  [[nodiscard]] Clash torn_clash(std::uint64_t at, std::size_t reader) const {
    Clash result;
    result.kind = reader == 2 ? Clash::Kind::torn_sector : Clash::Kind::torn_read;
    result.message = reader == 2 ? fmt::format("Afterwards sector {} (offset {}) has some of both.",
                                               at / sector, at)
                                 : fmt::format("{} returned sector {} (offset {}) partly written.",
                                               names_[reader], at / sector, at);
    result.expected =
        reader == 2 ? "the sector of one of them, whole" : "the sector as it was before, or after";
    result.actual = "a mixture";
    return result;
  }

  std::span<const CollisionOp, 2> ops_;
  std::span<const std::string, 2> names_;
  std::span<const CollisionRange> ranges_;
};

}  // namespace

std::optional<Clash> judge_collision(std::span<const CollisionOp, 2> ops,
                                     std::span<const std::string, 2> names,
                                     std::span<const CollisionRange> ranges) {
  return Judge(ops, names, ranges).judge();
}

}  // namespace nbdcheck
