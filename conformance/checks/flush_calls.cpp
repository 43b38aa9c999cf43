// What a flush and FUA promise, held against the calls that the plugin makes on
// its files: data written and acknowledged, and no fsync before the answer.
#include <algorithm>
#include <optional>

#include "checks/sequence_check.hpp"
#include "checks/watched_plugin.hpp"
#include "nbdcheck/status_page.hpp"

namespace nbdcheck::checks::flush_calls {
namespace {

constexpr std::uint64_t within_block = 1536;

std::string not_applicable(const Subject& subject) {
  if (const std::string why = needs_writing(subject); !why.empty()) return why;
  if (!subject.info.can_flush && subject.info.fua != fua_native) return "no .flush, no native FUA";
  return "";
}

class Story {
 public:
  Story(CheckRun& run, WatchedPlugin& plugin)
      : info_(run.subject().info), run_(run), plugin_(plugin), places_(plugin.places()) {}

  void run() {
    Client first(plugin_.server());
    if (!first.open(run_.request().export_name)) {
      run_.failed_to_start(first.failure());
      return;
    }
    if (info_.can_flush) {
      set_phase("writing and flushing");
      write(first, 0);
      flush(first);
      write(first, 1);
      write(first, 2);
      flush(first);
      zero(first, 0, 0);
      flush(first);
      zero(first, 1, command_flag::no_hole);
      flush(first);
      // More blocks than a batch, a window or a bound of what is dirty may hold.
      for (std::size_t i = 0; i < places_.size(); ++i) write(first, i);
      flush(first);
    }
    if (info_.fua == fua_native) {
      set_phase("writing with FUA");
      write(first, 3, command_flag::fua);
      write(first, 4, command_flag::fua);
      write(first, 5, command_flag::fua);
      zero(first, 3, command_flag::fua);
      zero(first, 4, command_flag::fua | command_flag::no_hole);
      if (info_.can_trim) request(first, OpKind::trim, 5, command_flag::fua);
      // From within a block on, over several.
      if (const auto place = long_place())
        plugin_.request(first, plugin_.write(place->offset, place->count, command_flag::fua));
    }
    if (info_.can_flush && info_.advertises_multi_conn) two_connections(first);
    if (info_.can_flush) flush(first);
    if (info_.fua == fua_native) {
      set_phase("writing with FUA, in two parts");
      plugin_.watch().inject(FileFault::short_write, 1);
      write(first, 3, command_flag::fua);
      plugin_.watch().inject(FileFault::none, 0);
    }
    set_phase("closing");
  }

 private:
  void two_connections(Client& first) {
    set_phase("flushing on another connection");
    Client second(plugin_.server());
    if (!second.open(run_.request().export_name)) return;
    connection_ = 0;
    write(first, 6);
    connection_ = 1;
    flush(second);
    write(second, 7);
    connection_ = 0;
    flush(first);
    write(first, 8);
    connection_ = 1;
    write(second, 9);
    flush(second);
    connection_ = 0;
  }

  bool request(Client& client, OpKind kind, std::size_t place, std::uint32_t flags) {
    Operation op{.kind = kind};
    op.connection = connection_;
    op.flags = static_cast<std::uint8_t>(flags);
    if (kind != OpKind::flush) {
      op.offset = places_[place % places_.size()].offset;
      op.count = places_[place % places_.size()].count;
    }
    return plugin_.request(client, op);
  }

  // Between two places.
  [[nodiscard]] std::optional<Place> long_place() const {
    constexpr std::uint64_t longest = 24U << 10;
    if (places_.size() < 3) return std::nullopt;
    const std::uint64_t block = run_.subject().minimum_block();
    const std::uint64_t begin =
        places_[1].offset + places_[1].count + (within_block + block - 1) / block * block;
    const std::uint64_t end = std::min(begin + longest, places_[2].offset) / block * block;
    if (end <= begin || run_.subject().maximum_request() < end - begin) return std::nullopt;
    return Place{begin, static_cast<std::uint32_t>(end - begin)};
  }

  void write(Client& client, std::size_t place, std::uint32_t flags = 0) {
    const Place& at = places_[place % places_.size()];
    Operation op = plugin_.write(at.offset, at.count, flags);
    op.connection = connection_;
    plugin_.request(client, op);
  }
  void zero(Client& client, std::size_t place, std::uint32_t flags) {
    if (info_.zero != zero_none) request(client, OpKind::zero, place, flags);
  }
  void flush(Client& client) { request(client, OpKind::flush, 0, 0); }

  const ExportInfo& info_;
  CheckRun& run_;
  WatchedPlugin& plugin_;
  const std::vector<Place>& places_;
  std::uint8_t connection_ = 0;
};

const Registration registration{{
    .id = "flush.calls",
    .summary = "what is flushed, or written with FUA, is synced before the answer",
    .rules = {"flush.durable", "flush.multi-conn", "fua.durable", "fua.trim-durable"},
    .not_applicable = not_applicable,
    .run =
        [](CheckRun& run) {
          // A write that comes short may be a failure, for which no call sets errno.
          run.incidents().expect(IncidentKind::errno_lost);
          run.incidents().expect(IncidentKind::no_errno);
          WatchedPlugin plugin(run);
          if (!plugin.serve(false, [&] { Story(run, plugin).run(); })) return;
          if (const std::string why = plugin.cannot_judge(); !why.empty()) return run.unknown(why);
          if (!plugin.wrote_to_files())
            return run.not_applicable(
                "no data that were written were seen in the files that the arguments name");
          const auto violations =
              judge_durability(plugin.requests(), plugin.watch().calls(), plugin.watch().files(),
                               {.multi_conn = run.subject().info.advertises_multi_conn,
                                .native_fua = run.subject().info.fua == fua_native});
          // What is not durable for its own connection is not for another either.
          const bool own = std::ranges::any_of(
              violations, [](const Violation& v) { return v.rule == "flush.durable"; });
          for (const Violation& violation : violations)
            if (!own || violation.rule != "flush.multi-conn") run.violated(violation);
          run.report_incidents();
        },
}};

}  // namespace
}  // namespace nbdcheck::checks::flush_calls
