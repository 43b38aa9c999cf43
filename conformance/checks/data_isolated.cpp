// Zero, trim, flush and cache requests, each at a place where plain reads and
// writes are seen to work first.  In a plugin that loses writes as well, random
// sequences find the lost writes and little else: what is found here is a fault of
// its own.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <vector>

#include "checks/client.hpp"
#include "checks/patience.hpp"
#include "checks/sequence_check.hpp"
#include "nbdcheck/status_page.hpp"

namespace nbdcheck::checks::data_isolated {
namespace {

// Luck, as with every thousandth write, does not come three times.
constexpr int confirmations = 3;

class Isolated {
 public:
  Isolated(CheckRun& run, Server& server) : run_(run), target_(server) {
    options_ = run.sequence_options();
    options_.rules.reopens = false;
    unit_ = run.subject().minimum_block();
  }

  void run() {
    const Patience patience(
        std::chrono::duration<double>(run_.request().effort == Effort::quick ? 0.1 : 0.6));
    for (const std::uint64_t length : lengths())
      for (const std::uint64_t offset : offsets(length))
        for (const Operation& request : requests()) {
          if (patience.over()) return finish("it is too slow to try all places");
          const Operation range{.count = static_cast<std::uint32_t>(length), .offset = offset};
          if (const auto violation = shown(request, range))
            return run_.violated_in_sequence(*violation);
        }
    finish("");
  }

 private:
  // As many bytes before and after the range as are looked at, too.
  [[nodiscard]] std::uint64_t margin() const {
    const std::uint64_t quarter = run_.subject().maximum_request() / 4 / unit_ * unit_;
    return std::max(unit_, std::min<std::uint64_t>(512, quarter));
  }

  [[nodiscard]] std::vector<std::uint64_t> lengths() const {
    const Subject& subject = run_.subject();
    const std::uint64_t longest =
        std::min(subject.info.size, subject.maximum_request()) - 2 * margin();
    std::vector<std::uint64_t> all;
    for (const std::uint64_t length : {512U, 4096U, 12288U, 65536U}) {
      const std::uint64_t whole = (length + unit_ - 1) / unit_ * unit_;
      if (whole > longest) break;
      if (all.empty() || all.back() != whole) all.push_back(whole);
    }
    if (all.empty()) all.push_back(longest / unit_ * unit_);
    return all;
  }

  // The range begins on a page and elsewhere.
  [[nodiscard]] std::vector<std::uint64_t> offsets(std::uint64_t length) const {
    std::vector<std::uint64_t> all;
    const std::uint64_t last = run_.subject().info.size - length - margin();
    for (const Place& place : sample_places(run_.subject()))
      for (const std::uint64_t shift : {std::uint64_t{0}, margin()}) {
        const std::uint64_t page = std::max<std::uint64_t>(4096, unit_);
        const std::uint64_t wanted = std::max(place.offset / page * page, page) + shift;
        const std::uint64_t offset = std::max(margin(), std::min(wanted, last) / unit_ * unit_);
        if (offset <= last && std::ranges::find(all, offset) == all.end()) all.push_back(offset);
      }
    return all;
  }

  // Without a place.
  [[nodiscard]] std::vector<Operation> requests() const {
    const ExportInfo& info = run_.subject().info;
    std::vector<Operation> all;
    if (info.zero != zero_none) {
      all.push_back({.kind = OpKind::zero});
      all.push_back({.kind = OpKind::zero, .flags = command_flag::no_hole});
    }
    if (info.can_trim) all.push_back({.kind = OpKind::trim});
    if (info.can_flush) all.push_back({.kind = OpKind::flush});
    if (info.cache != cache_none) all.push_back({.kind = OpKind::cache});
    return all;
  }

  std::optional<Violation> shown(const Operation& request, const Operation& range) {
    std::optional<Violation> violation;
    for (int i = 0; i < confirmations; ++i) {
      violation = attempt(request, range);
      if (!violation) return std::nullopt;
    }
    return violation;
  }

  // Writes to the range and its neighbours are seen to work, also one of zeroes
  // to the range alone; then comes the request, and another look.
  std::optional<Violation> attempt(const Operation& request, const Operation& range) {
    run_.log().restart();
    SequenceRunner sequence(target_, run_.subject(), options_);
    std::uint32_t tag = 0;
    Operation around = range;
    around.offset -= margin();
    around.count += static_cast<std::uint32_t>(2 * margin());
    const auto write = [&](Operation op, Payload payload) {
      op.kind = OpKind::write;
      op.payload = payload;
      op.tag = ++tag;
      return op;
    };
    Operation read = around;
    read.kind = OpKind::read;
    Operation tried = request;
    if (modifies(request.kind)) tried.tag = 4;
    if (has_range(request.kind)) {
      tried.offset = range.offset;
      tried.count = range.count;
    }
    const std::vector<Operation> plain{Operation{.kind = OpKind::open},
                                       write(around, Payload::tags),
                                       read,
                                       write(range, Payload::zeroes),
                                       read,
                                       write(around, Payload::tags),
                                       read};
    ++tried_;
    for (const Operation& op : plain)
      if (!works(sequence, op)) return close(sequence, std::nullopt);
    ++plain_works_;
    if (!works(sequence, tried)) return close(sequence, std::nullopt);
    run_.log().append(read);
    run_.count_operations(1);
    return close(sequence, sequence.step(read));
  }

  bool works(SequenceRunner& sequence, const Operation& op) {
    run_.log().append(op);
    run_.count_operations(1);
    const std::uint64_t failed = sequence.failed();
    return !sequence.step(op) && sequence.failed() == failed && sequence.is_open(0);
  }

  static std::optional<Violation> close(SequenceRunner& sequence,
                                        std::optional<Violation> violation) {
    sequence.close_all();
    return violation;
  }

  void finish(const std::string& why) {
    if (plain_works_ == 0 && tried_ > 0)
      run_.unknown("plain reads and writes do not work at any place that was tried");
    else if (plain_works_ == 0 && !why.empty())
      run_.unknown(why);
  }

  CheckRun& run_;
  InProcessTarget target_;
  SequenceOptions options_;
  std::uint64_t unit_ = 1;
  unsigned tried_ = 0;
  unsigned plain_works_ = 0;
};

std::string not_applicable(const Subject& subject) {
  const ExportInfo& info = subject.info;
  if (const std::string why = needs_writing(subject); !why.empty()) return why;
  if (info.zero == zero_none && !info.can_trim && !info.can_flush && info.cache == cache_none)
    return "reads and writes only";
  if (subject.info.size < 4096 + 2 * std::max<std::uint64_t>(4096, subject.minimum_block()))
    return "too small";
  if (subject.info.size < 3 * subject.minimum_block()) return "too small";
  if (subject.maximum_request() < 3 * subject.minimum_block())
    return "no request is longer than two blocks";
  return "";
}

const Registration registration{{
    .id = "data.isolated",
    .summary = "zero, trim, flush and cache where plain reads and writes are seen to work",
    .rules = {"zero.reads-zero", "zero.nothing-outside", "trim.nothing-outside", "cache.harmless",
              "flush.harmless"},
    .not_applicable = not_applicable,
    .run =
        [](CheckRun& run) {
          if (run.request().unstable_contents)
            return run.not_applicable("contents may change by themselves");
          const auto server = run.serve();
          if (!server) return;
          set_phase("trying requests where reads and writes work");
          on_connection_thread([&] { Isolated(run, *server).run(); });
          if (!run.found_any()) server->stop();
          run.report_incidents();
        },
    .stands_alone = true,
}};

}  // namespace
}  // namespace nbdcheck::checks::data_isolated
