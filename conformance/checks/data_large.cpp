// Large requests: reads and writes up to 64 MiB (or what the plugin announced
// as its maximum), zero, trim, cache and extents up to the whole export in one
// request, as nbdkit passes them on (up to 4 GiB - 1).
#include <algorithm>

#include "checks/sequence_check.hpp"

namespace nbdcheck::checks::data_large {
namespace {

class Large {
 public:
  Large(const Subject& subject, const Aim& aim)
      : subject_(subject), aim_(aim), size_(aim.size - aim.size % aim.block) {}

  std::vector<Operation> operations(Effort effort) {
    operations_.push_back({.kind = OpKind::open});
    // Each length once, at an offset that leaves room to see what lies outside.
    for (const std::uint64_t length : lengths(effort)) {
      const std::uint64_t room = size_ - std::min(size_, length);
      const std::uint64_t offset = std::min<std::uint64_t>(room, 1U << 20);
      read_write(offset, length);
      wide(offset, length);
    }
    wide(0, size_);
    return std::move(operations_);
  }

 private:
  std::vector<std::uint64_t> lengths(Effort effort) const {
    std::vector<std::uint64_t> all = {1U << 20, 4U << 20, (32U << 20) + 512, 64U << 20};
    if (effort == Effort::quick) all = {1U << 20, (32U << 20) + 512};
    if (effort == Effort::thorough) all.insert(all.end(), {2U << 20, 16U << 20, (64U << 20) - 1});
    for (std::uint64_t& length : all)
      length = std::min({length, size_, aim_.max_request / aim_.block * aim_.block});
    all.erase(std::unique(all.begin(), all.end()), all.end());
    return all;
  }

  void add(OpKind kind, std::uint64_t begin, std::uint64_t count, std::uint8_t flags = 0) {
    const std::uint64_t end =
        std::min(size_, (begin + count + aim_.block - 1) / aim_.block * aim_.block);
    begin = begin / aim_.block * aim_.block;
    if (begin >= end) return;
    Operation op{.kind = kind, .flags = flags};
    op.offset = begin;
    op.count = static_cast<std::uint32_t>(
        std::min<std::uint64_t>(end - begin, UINT32_MAX / aim_.block * aim_.block));
    if (modifies(kind)) op.tag = tag_++;
    operations_.push_back(op);
  }

  void mark(std::uint64_t offset, std::uint64_t length) {
    add(OpKind::write, offset - std::min<std::uint64_t>(offset, 512), 1024);
    add(OpKind::write, offset + length - std::min<std::uint64_t>(length, 512), 1024);
  }
  void look(std::uint64_t offset, std::uint64_t length) {
    add(OpKind::read, offset - std::min<std::uint64_t>(offset, 4096), 8192);
    add(OpKind::read, offset + length / 2, 8192);
    add(OpKind::read, offset + length - std::min<std::uint64_t>(length, 4096), 8192);
  }

  void read_write(std::uint64_t offset, std::uint64_t length) {
    if (subject_.info.can_write) {
      mark(offset, length);
      add(OpKind::write, offset, length);
      look(offset, length);
    }
    add(OpKind::read, offset, length);
  }

  void wide(std::uint64_t offset, std::uint64_t length) {
    const ExportInfo& info = subject_.info;
    length = std::min<std::uint64_t>(length, UINT32_MAX / aim_.block * aim_.block);
    // An emulated zero of a terabyte would write a terabyte.
    const std::uint64_t zero_length =
        info.zero == zero_native ? length : std::min<std::uint64_t>(length, 64U << 20);
    if (info.can_write && info.zero != zero_none) {
      mark(offset, zero_length);
      add(OpKind::zero, offset, zero_length);
      look(offset, zero_length);
      add(OpKind::zero, offset, zero_length, command_flag::no_hole);
      look(offset, zero_length);
    }
    if (info.can_write && info.can_trim) {
      mark(offset, length);
      add(OpKind::trim, offset, length);
      look(offset, length);
    }
    if (info.cache == cache_native) add(OpKind::cache, offset, length);
    if (maps_extents(subject_)) add(OpKind::extents, offset, length);
    look(offset, length);
  }

  const Subject& subject_;
  Aim aim_;
  std::uint64_t size_;
  std::uint32_t tag_ = 1;
  std::vector<Operation> operations_;
};

std::string not_applicable(const Subject& subject) {
  if (subject.info.size < 1U << 20) return "smaller than 1 MiB";
  return needs_contents(subject);
}

const Registration registration{{
    .id = "data.large",
    .summary = "requests up to 64 MiB; zero, trim, cache, extents up to the whole export",
    .rules = {"data.read-your-writes", "data.nothing-outside", "zero.reads-zero",
              "zero.nothing-outside", "trim.nothing-outside", "extents.no-lie", "data.readable"},
    .not_applicable = not_applicable,
    .run =
        [](CheckRun& run) {
          SequenceOptions options = run.sequence_options();
          options.rules.reopens = false;
          Large large(run.subject(), aim_of(run.subject()));
          run_fixed_sequence(run, large.operations(run.request().effort), options);
        },
}};

}  // namespace
}  // namespace nbdcheck::checks::data_large
