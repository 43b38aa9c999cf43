#include "judge/concurrent.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <optional>

#include "judge/concurrent_atomic.hpp"
#include "judge/concurrent_cells.hpp"
#include "model/tags.hpp"

namespace nbdcheck {
namespace {

constexpr std::uint64_t sector = 512;
// Reads of one state that are compared with each other.
constexpr std::size_t kept_reads = 8;

class Judge {
 public:
  Judge(std::span<const TimedRecord> history, const ConcurrentRules& rules)
      : history_(history),
        rules_(rules),
        sight_(history, rules.multi_conn),
        cells_(cut_into_cells(history)) {}

  ConcurrentVerdict run() {
    find_changes();
    std::vector<std::size_t> reads;
    for (std::size_t i = 0; i < history_.size(); ++i)
      if (history_[i].ok() && history_[i].operation.kind == OpKind::read) reads.push_back(i);
    std::sort(reads.begin(), reads.end(),
              [&](std::size_t a, std::size_t b) { return history_[a].begin < history_[b].begin; });
    for (const std::size_t read : reads) {
      const bool quiet = is_quiet(read);
      const bool good = judge_read(read);
      if (quiet && good) compare(read);
    }
    if (rules_.atomic && verdict_.violations.empty()) judge_order();
    return std::move(verdict_);
  }

 private:
  void find_changes() {
    for (std::size_t i = 0; i < history_.size(); ++i)
      if (history_[i].done && modifies(history_[i].operation.kind)) begins_.push_back(i);
    std::sort(begins_.begin(), begins_.end(),
              [&](std::size_t a, std::size_t b) { return history_[a].begin < history_[b].begin; });
    std::int64_t latest = INT64_MIN;
    for (const std::size_t change : begins_) {
      latest = std::max(latest, history_[change].end);
      ended_by_.push_back(latest);
    }
  }

  // How many changes had begun when the operation ended.
  [[nodiscard]] std::size_t begun_before_end_of(std::size_t read) const {
    const auto after = std::upper_bound(
        begins_.begin(), begins_.end(), history_[read].end,
        [&](std::int64_t time, std::size_t change) { return time < history_[change].begin; });
    return static_cast<std::size_t>(after - begins_.begin());
  }

  // Nothing was being changed, anywhere, while it was read.
  [[nodiscard]] bool is_quiet(std::size_t read) const {
    const std::size_t begun = begun_before_end_of(read);
    return begun == 0 || ended_by_[begun - 1] < history_[read].begin;
  }

  [[nodiscard]] std::span<const std::byte> part(std::size_t read, std::uint64_t begin,
                                                std::uint64_t end) const {
    return history_[read].data.subspan(begin - history_[read].operation.offset, end - begin);
  }

  // Calls f(cell, begin, end) for the parts of the read's range that operations
  // changed, until it returns false.
  template <typename F>
  bool for_each_cell(std::size_t read, F&& f) const {
    const Operation& op = history_[read].operation;
    const std::uint64_t stop = op.offset + op.count;
    auto cell = std::upper_bound(cells_.begin(), cells_.end(), op.offset,
                                 [](std::uint64_t at, const Cell& c) { return at < c.end; });
    for (; cell != cells_.end() && cell->begin < stop; ++cell) {
      if (cell->changes.empty()) continue;
      if (!f(*cell, std::max(cell->begin, op.offset), std::min(cell->end, stop))) return false;
    }
    return true;
  }

  bool judge_read(std::size_t read) {
    return for_each_cell(read, [&](const Cell& cell, std::uint64_t begin, std::uint64_t end) {
      legal_changes(history_, sight_, cell, read, legal_);
      if (legal_.anything) return true;
      const auto data = part(read, begin, end);
      std::size_t at = 0;
      while (at < data.size()) {
        std::size_t longest = 0;
        for (const std::uint32_t change : legal_.changes) {
          const Operation& op = history_[change].operation;
          longest = std::max(longest, match_change(op, data.subspan(at), begin + at));
          if (longest == data.size() - at) break;
        }
        // A failed operation leaves what was there, too; that is one of the
        // legal changes as well.
        if (longest == 0) {
          wrong_byte(read, cell, begin + at);
          return false;
        }
        at += longest;
      }
      if (rules_.atomic && legal_.changes.size() > 1) whole_sectors(read, begin, end);
      return true;
    });
  }

  // All that may be there covers the sector: it must be one of them.
  void whole_sectors(std::size_t read, std::uint64_t begin, std::uint64_t end) {
    const bool failed = std::any_of(legal_.changes.begin(), legal_.changes.end(),
                                    [&](std::uint32_t c) { return !history_[c].ok(); });
    if (failed) return;
    for (std::uint64_t at = (begin + sector - 1) / sector * sector; at + sector <= end;
         at += sector) {
      const auto data = part(read, at, at + sector);
      const bool whole = std::any_of(
          legal_.changes.begin(), legal_.changes.end(),
          [&](std::uint32_t c) { return match_change(history_[c].operation, data, at) == sector; });
      if (!whole) {
        torn(read, at, data);
        return;
      }
    }
  }

  // Between two changes the disk is what it is.
  void compare(std::size_t read) {
    const std::size_t epoch = begun_before_end_of(read);
    if (epoch != epoch_) {
      epoch_ = epoch;
      quiet_reads_.clear();
    }
    for (const std::size_t other : quiet_reads_)
      if (!agree(other, read)) return;
    if (quiet_reads_.size() < kept_reads) quiet_reads_.push_back(read);
  }

  // Whether two readers are owed the same contents.
  [[nodiscard]] bool owed(std::size_t read, const Cell& cell) {
    legal_changes(history_, sight_, cell, read, legal_);
    return !legal_.anything &&
           std::all_of(legal_.changes.begin(), legal_.changes.end(), [&](std::uint32_t c) {
             return history_[c].ok() && sight_.settled(c, read);
           });
  }

  bool agree(std::size_t before, std::size_t now) {
    if (!sight_.related(before, now)) return true;
    const Operation& first = history_[before].operation;
    return for_each_cell(now, [&](const Cell& cell, std::uint64_t begin, std::uint64_t end) {
      begin = std::max(begin, first.offset);
      end = std::min(end, first.offset + first.count);
      if (begin >= end) return true;
      const auto a = part(before, begin, end);
      const auto b = part(now, begin, end);
      const auto differ = std::mismatch(a.begin(), a.end(), b.begin());
      if (differ.first == a.end()) return true;
      if (!owed(before, cell) || !owed(now, cell)) return true;
      diverged(before, now, begin + static_cast<std::uint64_t>(differ.first - a.begin()));
      return false;
    });
  }

  // --- words -----------------------------------------------------------------

  [[nodiscard]] std::string call(std::size_t record) const {
    return fmt::format("[{}] {}", record + 1, describe(history_[record].operation));
  }

  // The change whose data these are, wherever they were meant to be.
  [[nodiscard]] std::optional<std::size_t> origin(std::size_t read, std::uint64_t at) const {
    const Operation& op = history_[read].operation;
    const auto data = history_[read].data;
    for (const std::size_t change : begins_) {
      const Operation& source = history_[change].operation;
      if (at >= source.offset && at < source.offset + source.count &&
          match_change(source, data.subspan(at - op.offset), at) >=
              std::min<std::size_t>(8, op.offset + op.count - at))
        return change;
    }
    // An aligned word tells its writer and its own place.
    const std::uint64_t aligned = (at + 7) / 8 * 8;
    if (aligned + 8 > op.offset + op.count) return std::nullopt;
    std::uint64_t word;
    std::memcpy(&word, data.data() + (aligned - op.offset), 8);
    for (const std::size_t change : begins_) {
      const Operation& source = history_[change].operation;
      if (source.kind == OpKind::write && source.payload == Payload::tags &&
          tag_place(word, source.tag, source.offset, source.offset + source.count))
        return change;
    }
    return std::nullopt;
  }

  [[nodiscard]] std::string contents(std::size_t read, std::uint64_t at,
                                     std::optional<std::size_t> source) const {
    if (source) {
      const Operation& op = history_[*source].operation;
      const bool elsewhere = at < op.offset || at >= op.offset + op.count;
      return fmt::format("the data of {}{}", call(*source),
                         elsewhere ? ", which belong elsewhere" : "");
    }
    const auto rest = history_[read].data.subspan(at - history_[read].operation.offset);
    if (match_fill(rest, std::byte{0}) >= std::min<std::size_t>(8, rest.size())) return "zeroes";
    return "data that none of the operations wrote there";
  }

  void report(Violation violation, std::vector<std::size_t> witness) {
    const auto& known = verdict_.violations;
    if (std::any_of(known.begin(), known.end(),
                    [&](const Violation& v) { return v.rule == violation.rule; }))
      return;
    std::sort(witness.begin(), witness.end());
    witness.erase(std::unique(witness.begin(), witness.end()), witness.end());
    for (std::string& line : space_time_diagram(history_, witness))
      violation.details.push_back(std::move(line));
    verdict_.violations.push_back(std::move(violation));
    verdict_.witnesses.push_back(std::move(witness));
  }

  // The change that ran while `change` did and came nearest to it: it may have
  // taken it back.
  [[nodiscard]] std::optional<std::size_t> suspect(std::size_t change) const {
    const TimedRecord& mine = history_[change];
    std::optional<std::size_t> best;
    std::uint64_t best_distance = 64U << 10;
    for (const std::size_t i : begins_) {
      const TimedRecord& other = history_[i];
      if (i == change || other.end < mine.begin || other.begin > mine.end) continue;
      const std::uint64_t a = mine.operation.offset;
      const std::uint64_t b = other.operation.offset;
      const std::uint64_t distance = a < b ? b - a : a - b;
      if (distance >= best_distance) continue;
      best_distance = distance;
      best = i;
    }
    return best;
  }

  void wrong_byte(std::size_t read, const Cell& cell, std::uint64_t at) {
    const auto last = static_cast<std::size_t>(legal_.overwriter);
    const auto source = origin(read, at);
    Violation v;
    v.rule = sight_.same_session(last, read) ? "concurrency.regular" : "concurrency.multi-conn";
    v.message =
        fmt::format("{} returned what cannot be there: byte {} of the buffer, offset {} ({:#x}).",
                    call(read), at - history_[read].operation.offset, at, at);
    v.expected = fmt::format("the data of {}", call(legal_.changes.front()));
    if (legal_.changes.size() == 2)
      v.expected += fmt::format(", or of {}", call(legal_.changes.back()));
    if (legal_.changes.size() > 2)
      v.expected +=
          fmt::format(", or of {} others that ran at the time", legal_.changes.size() - 1);
    v.actual = contents(read, at, source);
    if (source && at >= cell.begin &&
        std::find(cell.changes.begin(), cell.changes.end(), *source) != cell.changes.end() &&
        history_[*source].end < history_[last].begin)
      v.actual += ", which had been overwritten";
    std::vector<std::size_t> witness{read, last};
    if (source) witness.push_back(*source);
    if (const auto other = suspect(last); other && witness.size() < 4) witness.push_back(*other);
    report(std::move(v), std::move(witness));
  }

  void torn(std::size_t read, std::uint64_t at, std::span<const std::byte> data) {
    Violation v;
    v.rule = "concurrency.torn-sector";
    std::vector<std::size_t> witness{read};
    std::size_t from = 0;
    while (from < data.size() && witness.size() < 4) {
      std::size_t longest = 0;
      std::size_t by = 0;
      for (const std::uint32_t change : legal_.changes) {
        const std::size_t match =
            match_change(history_[change].operation, data.subspan(from), at + from);
        if (match > longest) {
          longest = match;
          by = change;
        }
      }
      if (longest == 0) break;
      witness.push_back(by);
      v.details.push_back(fmt::format("bytes {} to {} of the sector: the data of {}", from,
                                      from + longest - 1, call(by)));
      from += longest;
    }
    v.message = fmt::format(
        "{} found the sector at offset {} ({:#x}) put together from several writes, each of which "
        "wrote all of it.",
        call(read), at, at);
    v.expected = "the data of one of them";
    v.actual = "parts of several";
    report(std::move(v), std::move(witness));
  }

  void diverged(std::size_t before, std::size_t now, std::uint64_t at) {
    const auto a = origin(before, at);
    const auto b = origin(now, at);
    Violation v;
    v.rule = "concurrency.convergence";
    v.message = fmt::format(
        "{} and {} disagree about offset {} ({:#x}), although nothing was changed between them{}.",
        call(before), call(now), at, at,
        sight_.same_session(before, now) ? "" : " and all had been flushed");
    v.expected = contents(before, at, a);
    v.actual = contents(now, at, b);
    std::vector<std::size_t> witness{before, now};
    if (a) witness.push_back(*a);
    if (b) witness.push_back(*b);
    report(std::move(v), std::move(witness));
  }

  void judge_order() {
    AtomicOutcome outcome = judge_sector_order(history_, cells_, sight_);
    verdict_.undecided_sectors = outcome.undecided;
    if (!outcome.clash) return;
    Violation v;
    v.rule = "concurrency.atomic";
    v.message =
        fmt::format("No order of the operations on the sector at offset {} ({:#x}) fits: {}.",
                    outcome.clash->offset, outcome.clash->offset, outcome.clash->why);
    v.expected = "every operation on a sector takes effect at one moment";
    report(std::move(v), std::move(outcome.clash->witness));
  }

  std::span<const TimedRecord> history_;
  ConcurrentRules rules_;
  Sight sight_;
  std::vector<Cell> cells_;
  std::vector<std::size_t> begins_;     // changes, in order of their begin
  std::vector<std::int64_t> ended_by_;  // when all up to this one had ended
  Legal legal_;
  std::size_t epoch_ = 0;
  std::vector<std::size_t> quiet_reads_;
  ConcurrentVerdict verdict_;
};

}  // namespace

ConcurrentVerdict judge_concurrent(std::span<const TimedRecord> history,
                                   const ConcurrentRules& rules) {
  return Judge(history, rules).run();
}

}  // namespace nbdcheck
