#include "judge/durability.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <limits>

#include "plan/plan.hpp"

namespace nbdcheck {
namespace {

using Kind = FileCall::Kind;

bool is_fua(const Operation& op) { return (op.flags & command_flag::fua) != 0; }

bool overlap(const Operation& a, const Operation& b) {
  return a.offset < b.offset + b.count && b.offset < a.offset + a.count;
}

// Which words of a request's data something holds for.
class Words {
 public:
  explicit Words(const Operation& op)
      : first_(op.offset / 8), set_((op.offset + op.count + 7) / 8 - first_) {}
  void add(const Piece& piece) {
    for (std::uint64_t word = piece.place / 8; word < (piece.place + piece.size + 7) / 8; ++word)
      if (word >= first_ && word - first_ < set_.size()) set_[word - first_] = true;
  }
  // The place of the first word that is in here and not in `other`.
  [[nodiscard]] std::uint64_t first_beyond(const Words& other) const {
    for (std::size_t i = 0; i < set_.size(); ++i)
      if (set_[i] && !other.set_[i]) return (first_ + i) * 8;
    return none;
  }
  static constexpr std::uint64_t none = std::numeric_limits<std::uint64_t>::max();

 private:
  std::uint64_t first_;
  std::vector<bool> set_;
};

class Judge {
 public:
  Judge(const std::vector<DurableRequest>& requests, const std::vector<FileCall>& calls,
        const std::vector<WatchedFile>& files, const DurabilityRules& rules)
      : requests_(requests), calls_(calls), files_(files), rules_(rules) {}

  std::vector<Violation> run() {
    for (std::size_t i = 0; i < requests_.size(); ++i) {
      const DurableRequest& request = requests_[i];
      if (!request.ok) continue;
      if (request.operation.kind == OpKind::flush)
        judge_flush(i);
      else if (rules_.native_fua && is_fua(request.operation))
        covered(i, i);
    }
    return std::move(violations_);
  }

  bool reached_files() {
    return std::ranges::any_of(requests_, [&](const DurableRequest& request) {
      return !request.stores.empty() || std::ranges::any_of(calls_, [&](const FileCall& call) {
        return carries(call, request.operation.tag) && is_backing(call.file);
      });
    });
  }

 private:
  [[nodiscard]] bool is_backing(int file) const {
    return file >= 0 && static_cast<std::size_t>(file) < files_.size() &&
           files_[static_cast<std::size_t>(file)].backing;
  }

  static bool carries(const FileCall& call, std::uint32_t name) {
    return call.error == 0 && call.kind == Kind::write &&
           std::ranges::any_of(call.pieces, [&](const Piece& p) { return p.name == name; });
  }

  void judge_flush(std::size_t flush) {
    for (std::size_t i = 0; i < flush; ++i) {
      const DurableRequest& request = requests_[i];
      if (!request.ok ||
          (request.operation.kind != OpKind::write && request.operation.kind != OpKind::zero))
        continue;
      if (!rules_.multi_conn &&
          request.operation.connection != requests_[flush].operation.connection)
        continue;
      // What was written over need never reach a file.
      bool over = false;
      for (std::size_t j = i + 1; j < flush; ++j)
        over = over || (modifies(requests_[j].operation.kind) &&
                        overlap(requests_[j].operation, request.operation));
      if (!over) covered(i, flush);
    }
  }

  // A place of a file is durable by something that ended before `until`.
  [[nodiscard]] bool synced(int file, std::uint64_t begin, std::uint64_t end, std::size_t from,
                            std::size_t until) const {
    for (std::size_t i = from; i < std::min(until, calls_.size()); ++i) {
      const FileCall& call = calls_[i];
      if (call.kind == Kind::sync && call.error == 0 && (call.file == file || call.file < 0) &&
          call.begin <= begin && end <= call.end)
        return true;
    }
    return false;
  }

  // What left the process another way may be safe there.
  [[nodiscard]] bool sent_elsewhere(std::size_t request, std::size_t cover) const {
    std::uint64_t bytes = 0;
    for (std::size_t i = requests_[request].begin; i < requests_[cover].end; ++i)
      if (calls_[i].kind == Kind::send) {
        if (calls_[i].end > requests_[request].operation.count) return true;
        bytes += calls_[i].end;
      }
    return bytes >= requests_[request].operation.count / 4;
  }

  // Request `cover`, a flush or the request itself with FUA, promised that what
  // `request` did is durable.
  void covered(std::size_t request, std::size_t cover) {
    if (sent_elsewhere(request, cover)) return;
    if (requests_[request].operation.kind == OpKind::write)
      data_covered(request, cover);
    else
      clearing_covered(request, cover);
  }

  void data_covered(std::size_t request, std::size_t cover) {
    const DurableRequest& written = requests_[request];
    const std::size_t until = requests_[cover].end;
    Words seen(written.operation);
    Words before(written.operation);
    Words durable(written.operation);
    std::size_t culprit = calls_.size();
    for (std::size_t i = written.begin; i < calls_.size(); ++i) {
      const FileCall& call = calls_[i];
      if (!carries(call, written.operation.tag)) continue;
      for (const Piece& piece : call.pieces) {
        if (piece.name != written.operation.tag) continue;
        if (is_backing(call.file)) seen.add(piece);
        if (i >= until) continue;
        if (is_backing(call.file)) before.add(piece);
        if (call.durable || synced(call.file, piece.at, piece.at + piece.size, i + 1, until))
          durable.add(piece);
        else if (is_backing(call.file) && culprit == calls_.size())
          culprit = i;
      }
    }
    for (const auto& store : written.stores) {
      seen.add(store.piece);
      before.add(store.piece);
      // When in the request the store was made is not known.
      if (persistent_memory(store.file) ||
          synced(store.file, store.piece.at, store.piece.at + store.piece.size, written.begin,
                 until))
        durable.add(store.piece);
    }
    const std::uint64_t lost = seen.first_beyond(durable);
    if (lost == Words::none) return;
    report(request, cover, culprit, before.first_beyond(durable) == Words::none);
  }

  [[nodiscard]] bool persistent_memory(int file) const {
    return std::ranges::any_of(calls_, [&](const FileCall& call) {
      return call.kind == Kind::map && call.file == file && call.durable;
    });
  }

  // Where the data of this place of the export were last seen to lie.
  struct Location {
    int file;
    std::uint64_t begin;
    std::uint64_t end;
  };
  [[nodiscard]] std::vector<Location> locations(std::size_t request) const {
    const Operation& op = requests_[request].operation;
    std::vector<Location> found;
    for (std::size_t i = 0; i < requests_[request].begin; ++i)
      for (const Piece& piece : calls_[i].pieces)
        if (is_backing(calls_[i].file) && piece.place < op.offset + op.count &&
            op.offset < piece.place + piece.size)
          found.push_back({calls_[i].file, piece.at, piece.at + piece.size});
    return found;
  }

  void clearing_covered(std::size_t request, std::size_t cover) {
    const std::size_t until = requests_[cover].end;
    const auto places = locations(request);
    std::size_t culprit = calls_.size();
    for (std::size_t i = requests_[request].begin; i < until; ++i) {
      const FileCall& call = calls_[i];
      const bool clears = call.kind == Kind::clear || (call.kind == Kind::write && call.zeroes);
      // Something else is written meanwhile: it may be a journal.
      if (call.kind == Kind::write && !call.zeroes) return;
      if (!clears || call.error != 0) continue;
      const auto hit = [&](const Location& place) {
        return place.file == call.file && place.begin < call.end && call.begin < place.end;
      };
      if (std::ranges::none_of(places, hit)) {
        if (call.kind == Kind::write && !is_backing(call.file)) return;
        continue;
      }
      if (!call.durable && !synced(call.file, call.begin, call.end, i + 1, until) &&
          culprit == calls_.size())
        culprit = i;
    }
    if (culprit != calls_.size()) report(request, cover, culprit, false);
  }

  static std::string rule_of(const Operation& request, const Operation& cover) {
    if (cover.kind != OpKind::flush)
      return request.kind == OpKind::trim ? "fua.trim-durable" : "fua.durable";
    return request.connection == cover.connection ? "flush.durable" : "flush.multi-conn";
  }

  void report(std::size_t request, std::size_t cover, std::size_t culprit, bool late) {
    const Operation& op = requests_[request].operation;
    const Operation& promise = requests_[cover].operation;
    Violation v;
    v.rule = rule_of(op, promise);
    if (std::ranges::any_of(violations_, [&](const Violation& o) { return o.rule == v.rule; }))
      return;
    const std::string words = describe(promise);
    if (late) {
      v.message = fmt::format(
          "{} was answered with success while data of {} had not been written to the file yet.",
          words, request == cover ? "its own" : describe(op));
      v.actual = "they were written after the answer";
    } else {
      const std::string file =
          culprit < calls_.size()
              ? files_[static_cast<std::size_t>(calls_[culprit].file)].path
              : files_[static_cast<std::size_t>(requests_[request].stores.front().file)].path;
      v.message = fmt::format(
          "{} was answered with success, but nothing had made durable what {} did to {}.", words,
          request == cover ? "it" : describe(op), std::filesystem::path(file).filename().string());
      v.actual = "a power cut at this moment would lose acknowledged data";
    }
    v.expected =
        "fsync, fdatasync, msync or the like on the file, begun after the data were written to it "
        "and ended before the answer; or O_DSYNC";
    list_calls(v, request, cover);
    violations_.push_back(std::move(v));
  }

  // Requests and the calls they led to, from the request to the promise.
  void list_calls(Violation& v, std::size_t from, std::size_t to) const {
    constexpr std::size_t most = 24;
    v.details.emplace_back("the calls that the plugin made on files:");
    for (std::size_t r = from; r <= to && v.details.size() < most; ++r) {
      v.details.push_back(fmt::format("  {}{}", describe(requests_[r].operation),
                                      requests_[r].ok ? "" : " failed"));
      bool any = false;
      const std::size_t end = r + 1 < requests_.size() ? requests_[r + 1].begin : calls_.size();
      for (std::size_t i = requests_[r].begin; i < end && v.details.size() < most; ++i) {
        if (calls_[i].text.empty()) continue;
        v.details.push_back(fmt::format("      {}{}", calls_[i].text,
                                        i >= requests_[r].end ? "   (after the answer)" : ""));
        any = true;
      }
      if (!any) v.details.emplace_back("      (none)");
    }
  }

  const std::vector<DurableRequest>& requests_;
  const std::vector<FileCall>& calls_;
  const std::vector<WatchedFile>& files_;
  const DurabilityRules& rules_;
  std::vector<Violation> violations_;
};

}  // namespace

std::vector<Violation> judge_durability(const std::vector<DurableRequest>& requests,
                                        const std::vector<FileCall>& calls,
                                        const std::vector<WatchedFile>& files,
                                        const DurabilityRules& rules) {
  return Judge(requests, calls, files, rules).run();
}

bool reached_files(const std::vector<DurableRequest>& requests, const std::vector<FileCall>& calls,
                   const std::vector<WatchedFile>& files) {
  return Judge(requests, calls, files, {}).reached_files();
}

}  // namespace nbdcheck
