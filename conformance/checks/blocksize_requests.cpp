// Requests that do not keep to what .block_size announced.  "nbdkit passes all
// requests through to the plugin": it may serve them or refuse them, but not do
// something else.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <vector>

#include "checks/check_run.hpp"
#include "checks/client.hpp"
#include "nbdcheck/status_page.hpp"

namespace nbdcheck::checks::blocksize_requests {
namespace {

using Bytes = std::vector<std::byte>;

// Of the requests that are too long.
constexpr std::uint32_t longest = 4 << 20;

BlockSize block_of(const Subject& subject) {
  return subject.info.block_size.value_or(BlockSize{1, 1, UINT32_MAX});
}

bool has_short_limit(const Subject& subject) {
  const BlockSize block = block_of(subject);
  return block.maximum != 0 && block.maximum <= longest &&
         subject.info.size >= block.maximum + std::uint64_t{2} * block.minimum;
}

enum class Kind { read, write, zero, trim };
const char* word(Kind kind) {
  switch (kind) {
    case Kind::read:
      return "read";
    case Kind::write:
      return "write";
    case Kind::zero:
      return "zero";
    case Kind::trim:
      return "trim";
  }
  return "";
}

// The beginning of the export, and what must be in it.
class Region {
 public:
  Region(CheckRun& run, Client& client, std::uint64_t size)
      : run_(run), client_(client), expected_(size) {}

  // False: it cannot even be written block by block.
  bool fill() {
    for (std::size_t i = 0; i < expected_.size(); ++i) expected_[i] = pattern(i, 1);
    return transfer(true) && check("a write of whole blocks", 0, 0, Kind::write, {}, true);
  }

  // True: as it must be, and the next may follow.
  bool request(Kind kind, std::uint64_t offset, std::uint32_t count) {
    run_.count_operations(1);
    const std::string what = fmt::format("{}(count={}, offset={})", word(kind), count, offset);
    Bytes data(count);
    bool done = false;
    switch (kind) {
      case Kind::read:
        done = client_.read(data, offset).ok();
        return !done || same(what, data, offset);
      case Kind::write:
        ++round_;
        for (std::uint32_t i = 0; i < count; ++i) data[i] = pattern(offset + i, round_);
        done = client_.write(data, offset).ok();
        break;
      case Kind::zero:
        done = client_.zero(count, offset, 0).ok();
        break;
      case Kind::trim:
        client_.run([&](Connection& connection) { connection.trim(count, offset); });
        break;
    }
    return check(what, offset, count, kind, data, done);
  }

 private:
  static std::byte pattern(std::uint64_t place, unsigned round) {
    return static_cast<std::byte>((place * 7 + place / 251 + round * 59) % 255 + 1);
  }

  // All of it in requests that keep to the limits.
  bool transfer(bool write) {
    const BlockSize block = block_of(run_.subject());
    const std::uint64_t most =
        std::max<std::uint64_t>(block.minimum, std::min<std::uint64_t>(block.maximum, 1 << 20) /
                                                   block.minimum * block.minimum);
    for (std::uint64_t at = 0; at < expected_.size(); at += most) {
      const std::size_t count = std::min<std::uint64_t>(most, expected_.size() - at);
      const std::span<std::byte> piece(expected_.data() + at, count);
      if (!(write ? client_.write(piece, at) : client_.read(piece, at)).ok()) return false;
    }
    return true;
  }

  bool same(const std::string& what, const Bytes& data, std::uint64_t offset) {
    for (std::size_t i = 0; i < data.size(); ++i)
      if (data[i] != expected_[offset + i]) {
        complain(what + " succeeded with wrong data", offset + i, expected_[offset + i], data[i]);
        return false;
      }
    return true;
  }

  bool check(const std::string& what, std::uint64_t offset, std::uint64_t count, Kind kind,
             const Bytes& data, bool done) {
    const Bytes before = expected_;
    if (!transfer(false)) return false;  // other checks judge reads that are in order
    for (std::size_t i = 0; i < expected_.size(); ++i) {
      const bool inside = i >= offset && i < offset + count;
      const std::byte now = expected_[i];
      if (now == before[i] && !(inside && done && kind != Kind::trim)) continue;
      if (!inside) {
        complain(fmt::format("{} {}, and changed a byte outside of its range", what,
                             done ? "succeeded" : "ended"),
                 i, before[i], now);
        return false;
      }
      if (kind == Kind::trim) continue;
      const std::byte wanted = kind == Kind::zero ? std::byte{0} : data[i - offset];
      if (now == wanted) continue;
      complain(fmt::format("{} {}, and left something else", what, done ? "succeeded" : "failed"),
               i, wanted, now);
      return false;
    }
    return true;
  }

  void complain(const std::string& what, std::uint64_t place, std::byte wanted, std::byte got) {
    const BlockSize block = block_of(run_.subject());
    Violation v;
    v.rule = "blocksize.unaligned";
    v.message = fmt::format("{}. (.block_size: minimum {}, maximum {}.)", what, block.minimum,
                            block.maximum);
    v.expected = fmt::format("served as any other request, or refused; {:#04x} at {}",
                             std::to_integer<unsigned>(wanted), place);
    v.actual = fmt::format("{:#04x} at {}", std::to_integer<unsigned>(got), place);
    run_.violated(std::move(v));
  }

  CheckRun& run_;
  Client& client_;
  Bytes expected_;
  unsigned round_ = 1;
};

void off_the_blocks(CheckRun& run, Client& client) {
  const std::uint32_t block = block_of(run.subject()).minimum;
  Region region(run, client, std::uint64_t{4} * block);
  if (!region.fill()) return;
  struct Range {
    std::uint32_t offset;
    std::uint32_t count;
  };
  const std::array ranges{Range{1, 1},
                          Range{0, block - 1},
                          Range{block - 1, 2},
                          Range{block / 2, block},
                          Range{1, 2 * block},
                          Range{block, 1},
                          Range{2 * block + 1, block - 1}};
  for (const Range& range : ranges)
    for (const Kind kind : {Kind::read, Kind::write, Kind::read, Kind::zero, Kind::trim}) {
      if (kind == Kind::trim && !client.info().can_trim) continue;
      if (!region.request(kind, range.offset, range.count)) return;
    }
}

void too_long(CheckRun& run, Client& client) {
  const BlockSize block = block_of(run.subject());
  Region region(run, client, block.maximum + std::uint64_t{2} * block.minimum);
  if (!region.fill()) return;
  for (const std::uint32_t count : {block.maximum + block.minimum, block.maximum + 1})
    for (const Kind kind : {Kind::read, Kind::write, Kind::read, Kind::zero})
      if (!region.request(kind, 0, count)) return;
}

std::string not_applicable(const Subject& subject) {
  const BlockSize block = block_of(subject);
  if (!subject.info.block_size || (block.minimum <= 1 && !has_short_limit(subject)))
    return "any request keeps to its block size";
  if (!subject.info.can_write) return "read-only";
  return subject.info.size < std::uint64_t{4} * block.minimum ? "smaller than four blocks" : "";
}

const Registration registration{{
    .id = "blocksize.requests",
    .summary = "requests off the block size are served or refused, nothing else",
    .rules = {"blocksize.unaligned"},
    .not_applicable = not_applicable,
    .run =
        [](CheckRun& run) {
          const auto server = run.serve();
          if (!server) return;
          {
            Client client(*server);
            if (!client.open(run.request().export_name))
              return run.failed_to_start(client.failure());
            set_phase("requests that are not of whole blocks");
            if (block_of(run.subject()).minimum > 1) off_the_blocks(run, client);
            set_phase("requests above the maximum");
            if (has_short_limit(run.subject()) && !run.found_any()) too_long(run, client);
          }
          server->stop();
          run.report_incidents();
        },
}};

}  // namespace
}  // namespace nbdcheck::checks::blocksize_requests
