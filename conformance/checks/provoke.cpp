#include "checks/provoke.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "checks/patience.hpp"
#include "checks/phases.hpp"
#include "checks/sequence_check.hpp"
#include "execute/send.hpp"
#include "nbdcheck/status_page.hpp"

namespace nbdcheck {
namespace {

constexpr std::size_t most_refused = 6;
constexpr std::uint64_t places = 64;            // looked at all over the export
constexpr std::uint64_t fill_limit = 8U << 20;  // bytes written to fill the disk
constexpr std::uint32_t fill_step = 64U << 10;

class Search {
 public:
  Search(CheckRun& run, Client& client, std::chrono::milliseconds time)
      : run_(run),
        client_(client),
        patience_(time),
        size_(run.subject().info.size),
        block_(run.subject().minimum_block()) {}

  std::vector<Refused> run() {
    odd_requests();
    all_over();
    fill();
    return std::move(refused_);
  }

 private:
  [[nodiscard]] bool enough() const { return refused_.size() >= most_refused || patience_.over(); }

  void attempt(OpKind kind, std::uint64_t offset, std::uint64_t count, std::uint32_t flags = 0) {
    if (enough() || count == 0 || offset >= size_ || count > size_ - offset || !possible(kind))
      return;
    const Attempt wanted{kind, flags, offset, static_cast<std::uint32_t>(count)};
    Reply reply;
    set_phase(failed_ ? phase_after_error : "making requests fail");
    client_.run([&](Connection& connection) { reply = perform(connection, wanted); });
    run_.count_operations(1);
    failed_ = !reply.ok() && reply.reached_plugin;
    if (!failed_) return;
    const bool known = std::any_of(refused_.begin(), refused_.end(), [&](const Refused& r) {
      return r.attempt.kind == kind && r.error == reply.error;
    });
    if (!known) refused_.push_back({wanted, reply.error});
  }

  [[nodiscard]] bool possible(OpKind kind) const {
    const Subject& subject = run_.subject();
    if (modifies(kind) && !subject.info.can_write) return false;
    switch (kind) {
      case OpKind::trim:
        return subject.info.can_trim;
      case OpKind::cache:
        return subject.info.cache != cache_none;
      case OpKind::extents:
        return maps_extents(subject);
      default:
        return true;
    }
  }

  void each_kind(std::uint64_t offset, std::uint64_t count) {
    for (const OpKind kind :
         {OpKind::read, OpKind::write, OpKind::zero, OpKind::trim, OpKind::cache, OpKind::extents})
      attempt(kind, offset, count);
    if (run_.subject().info.can_fast_zero)
      attempt(OpKind::zero, offset, count, command_flag::fast_zero);
  }

  void odd_requests() {
    if (block_ > 1) {
      each_kind(1, block_);
      each_kind(0, 1);
    }
    const auto& announced = run_.subject().info.block_size;
    if (announced && announced->maximum != 0 && announced->maximum < max_request_size)
      each_kind(0, announced->maximum + block_);
  }

  void all_over() {
    const std::uint64_t count = run_.subject().usual_request();
    const std::uint64_t stride = std::max(count, size_ / places / block_ * block_);
    std::uint64_t n = 0;
    for (std::uint64_t at = 0; n < places && at < size_ && !enough(); at += stride, ++n)
      each_kind(at, std::min(count, (size_ - at) / block_ * block_));
    if (size_ >= count) each_kind((size_ - count) / block_ * block_, count);
  }

  void fill() {
    const std::uint64_t step = std::max<std::uint64_t>(
        block_,
        std::min<std::uint64_t>(fill_step, run_.subject().maximum_request()) / block_ * block_);
    for (std::uint64_t at = 0; at < std::min(size_, fill_limit) && !enough(); at += step)
      attempt(OpKind::write, at, std::min(step, (size_ - at) / block_ * block_));
  }

  CheckRun& run_;
  Client& client_;
  Patience patience_;
  std::uint64_t size_;
  std::uint64_t block_;
  bool failed_ = false;  // the last attempt
  std::vector<Refused> refused_;
};

Operation operation_of(const Attempt& attempt) {
  Operation op{.kind = attempt.kind,
               .flags = static_cast<std::uint8_t>(attempt.flags),
               .count = attempt.count};
  op.offset = attempt.offset;
  return op;
}

}  // namespace

std::string describe(const Attempt& attempt) { return describe(operation_of(attempt)); }

Reply perform(Connection& connection, const Attempt& attempt) {
  std::vector<std::byte> data(
      attempt.kind == OpKind::read || attempt.kind == OpKind::write ? attempt.count : 0,
      std::byte{0x6e});
  return send(connection, operation_of(attempt), data, connection.export_info().size);
}

std::vector<Refused> provoke_refusals(CheckRun& run, Client& client,
                                      std::chrono::milliseconds time) {
  return Search(run, client, time).run();
}

}  // namespace nbdcheck
