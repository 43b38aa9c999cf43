// Calls on the plugin's files come short, are interrupted, find the disk full
// or fail: the request goes on, or fails as well.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <set>

#include "checks/sequence_check.hpp"
#include "checks/watched_plugin.hpp"
#include "model/tags.hpp"
#include "nbdcheck/status_page.hpp"

namespace nbdcheck::checks::data_failing_files {
namespace {

std::string_view words(FileFault fault) {
  switch (fault) {
    case FileFault::short_write:
      return "a write to its file came short";
    case FileFault::interrupted_write:
      return "a write to its file was interrupted (EINTR)";
    case FileFault::disk_full:
      return "a write to its file found no space (ENOSPC)";
    case FileFault::short_read:
      return "a read from its file came short";
    case FileFault::interrupted_read:
      return "a read from its file was interrupted (EINTR)";
    default:
      return "its file could not be synced (EIO)";
  }
}

class Story {
 public:
  Story(CheckRun& run, WatchedPlugin& plugin)
      : run_(run), plugin_(plugin), info_(run.subject().info), places_(plugin.places()) {}

  void run() {
    client_.emplace(plugin_.server());
    if (!client_->open(run_.request().export_name)) {
      run_.failed_to_start(client_->failure());
      return;
    }
    if (info_.can_write) {
      set_phase("while calls that write come to less");
      for (const FileFault fault :
           {FileFault::short_write, FileFault::interrupted_write, FileFault::disk_full})
        write_through(fault);
      set_phase("while syncs fail");
      failing_syncs();
    }
    set_phase("while calls that read come to less");
    for (const FileFault fault : {FileFault::short_read, FileFault::interrupted_read})
      read_through(fault);
    client_.reset();
  }

  // Whether any call of the plugin met a fault.
  [[nodiscard]] bool met_any() const { return met_any_; }

 private:
  int end_fault() {
    const int met = plugin_.watch().injected();
    plugin_.watch().inject(FileFault::none, 0);
    met_any_ = met_any_ || met > 0;
    return met;
  }

  Operation next_write(std::uint32_t flags = 0) {
    const Place& at = places_[next_place_++ % places_.size()];
    return plugin_.write(at.offset, at.count, flags);
  }
  bool flush() { return plugin_.request(*client_, {.kind = OpKind::flush}); }

  // What the range holds; no value: it cannot be read.
  std::optional<std::vector<std::byte>> read(std::uint64_t offset, std::uint32_t count) {
    // A pattern, so that what was not filled does not look like old data.
    std::vector<std::byte> bytes(count, std::byte{0x5a});
    run_.count_operations(1);
    if (!client_->read(bytes, offset).ok()) return std::nullopt;
    return bytes;
  }

  bool reopen() {
    client_.reset();
    client_.emplace(plugin_.server());
    return client_->open_at_last(run_.request().export_name);
  }

  void write_through(FileFault fault) {
    // The last one, as of a long write the end is missing.
    const Place& at = places_.back();
    const Operation known = plugin_.write(at.offset, at.count);
    const bool was_stored = write_and_flush(known) == Outcome::stored;
    if (!holds(known)) return;  // which is for other checks to name
    const Operation op = plugin_.write(at.offset, at.count);
    plugin_.watch().inject(fault, 1);
    const Outcome outcome = write_and_flush(op);
    if (end_fault() == 0 || outcome == Outcome::failed) return;
    if (wrong(op, fault)) return;
    if (reopen() && wrong(op, fault)) return;
    if (was_stored && outcome == Outcome::not_seen) not_stored(op, fault);
  }

  enum class Outcome {
    failed,
    not_seen,  // the data were not seen in what its calls wrote, or not all of them
    stored,
  };
  Outcome write_and_flush(const Operation& op) {
    const std::size_t from = plugin_.watch().mark();
    // A cache may write later.
    if (!plugin_.request(*client_, op) || (info_.can_flush && !flush())) return Outcome::failed;
    return plugin_.all_written(op, from) ? Outcome::stored : Outcome::not_seen;
  }

  // A cache hides it until the process ends.
  void not_stored(const Operation& op, FileFault fault) {
    if (!info_.can_flush) return;
    Violation v;
    v.rule = "data.partial-io";
    v.message = fmt::format(
        "While {} and a flush ran, {}; both answered with success, and not all of the data were "
        "written. Without that they were.",
        describe(op), words(fault));
    v.expected = "the plugin goes on until all is written, or a request fails";
    v.actual = "the data are in its memory, and gone when the process ends";
    run_.violated(std::move(v));
  }

  bool holds(const Operation& op) {
    const auto found = read(op.offset, op.count);
    return found && match_tags(*found, op.offset, op.tag) == found->size();
  }

  bool wrong(const Operation& op, FileFault fault) {
    const auto found = read(op.offset, op.count);
    if (!found) return false;
    const std::size_t good = match_tags(*found, op.offset, op.tag);
    if (good == found->size()) return false;
    Violation v;
    v.rule = "data.partial-io";
    v.message = fmt::format(
        "While {} ran, {}; the request{} answered with success all the same, and its data are not "
        "there.",
        describe(op), words(fault), info_.can_flush ? " and the flush after it were" : " was");
    v.expected = "the plugin goes on until all is written, or the request fails";
    v.actual = fmt::format("read again, the bytes from offset {} on are others", op.offset + good);
    run_.violated(std::move(v));
    return true;
  }

  void failing_syncs() {
    if (info_.can_flush && plugin_.request(*client_, next_write()))
      failing_sync({.kind = OpKind::flush});
    if (info_.fua == fua_native) failing_sync(next_write(command_flag::fua));
  }

  void failing_sync(const Operation& op) {
    const std::size_t from = plugin_.watch().mark();
    plugin_.watch().inject(FileFault::sync_fails, 3);
    const bool ok = plugin_.request(*client_, op);
    end_fault();
    if (!ok) return;
    const auto failed = unreported(from);
    if (failed.empty()) return;
    Violation v;
    v.rule = "flush.error-reported";
    v.message = fmt::format("{} was answered with success, though {}.", describe(op),
                            words(FileFault::sync_fails));
    v.expected = "-1, so that the client knows that its data are not safe";
    v.actual = "success";
    v.details = {"the call that failed:", "  " + failed};
    run_.violated(std::move(v));
  }

  // A sync of a file that needs one, because it holds the disk's data failed, and none of that file
  // worked afterwards.
  std::string unreported(std::size_t from) const {
    const auto calls = plugin_.watch().calls();
    std::set<int> data;
    for (const FileCall& call : calls)
      if (!call.pieces.empty() && !call.durable) data.insert(call.file);
    for (const DurableRequest& request : plugin_.requests())
      for (const auto& store : request.stores) data.insert(store.file);
    std::string failed;
    for (std::size_t i = from; i < calls.size(); ++i) {
      if (calls[i].kind != FileCall::Kind::sync) continue;
      if (calls[i].injected && data.contains(calls[i].file))
        failed = calls[i].text;
      else if (!calls[i].injected)
        failed.clear();
    }
    return failed;
  }

  void read_through(FileFault fault) {
    for (std::size_t i = 0; i < std::min<std::size_t>(places_.size(), 3); ++i) {
      const Place& at = places_[i];
      const auto before = read(at.offset, at.count);
      const auto again = read(at.offset, at.count);
      if (!before || before != again) continue;
      plugin_.watch().inject(fault, 1);
      const auto found = read(at.offset, at.count);
      if (end_fault() == 0 || !found || *found == *before) continue;
      Violation v;
      v.rule = "data.partial-io";
      v.message = fmt::format(
          "While pread(count={}, offset={}) ran, {}; the request was answered with success all the "
          "same, with other bytes than before and after.",
          at.count, at.offset, words(fault));
      v.expected = "the plugin goes on until all is read, or the request fails";
      if (read(at.offset, at.count) != before) continue;
      run_.violated(std::move(v));
      return;
    }
  }

  CheckRun& run_;
  WatchedPlugin& plugin_;
  const ExportInfo& info_;
  const std::vector<Place>& places_;
  std::optional<Client> client_;
  std::size_t next_place_ = 0;
  bool met_any_ = false;
};

std::string not_applicable(const Subject& subject) {
  if (const std::string why = needs_contents(subject); !why.empty()) return why;
  return subject.stable_contents ? "" : "contents change by themselves";
}

const Registration registration{{
    .id = "data.failing-files",
    .summary = "short, interrupted and failing calls on files are coped with or reported",
    .rules = {"data.partial-io", "flush.error-reported"},
    .not_applicable = not_applicable,
    .run =
        [](CheckRun& run) {
          if (run.request().unstable_contents)
            return run.not_applicable("contents change by themselves");
          // The calls fail with what no file answers by itself (EINTR): passing
          // that on is no fault of a plugin's.
          run.incidents().expect(IncidentKind::errno_lost);
          run.incidents().expect(IncidentKind::no_errno);
          WatchedPlugin plugin(run);
          bool met = false;
          const auto story = [&] {
            Story all(run, plugin);
            all.run();
            met = all.met_any();
          };
          if (!plugin.serve(true, story)) return;
          if (!plugin.watch().complete())
            run.unknown("the plugin closed the descriptor that its calls are watched by");
          else if (!met)
            run.not_applicable("none of its calls read or wrote the files that the arguments name");
          run.report_incidents();
        },
}};

}  // namespace
}  // namespace nbdcheck::checks::data_failing_files
