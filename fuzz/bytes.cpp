#include "bytes.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <random>

#include "plan/generate.hpp"

namespace nbdcheck::fuzz {
namespace {

class Random {
 public:
  explicit Random(std::uint32_t seed) : engine_(seed) {}
  std::uint32_t operator()() { return static_cast<std::uint32_t>(engine_()); }

 private:
  std::mt19937 engine_;
};

constexpr std::array kinds{OpKind::read,  OpKind::write, OpKind::read,  OpKind::write,
                           OpKind::zero,  OpKind::trim,  OpKind::flush, OpKind::extents,
                           OpKind::cache, OpKind::close};

template <typename Number>
Number number_at(const std::uint8_t* from) {
  Number number;
  std::memcpy(&number, from, sizeof number);
  return number;
}

bool offered(OpKind kind, const Subject& subject) {
  const ExportInfo& info = subject.info;
  switch (kind) {
    case OpKind::write:
      return info.can_write;
    case OpKind::zero:
      return info.can_write && info.zero != zero_none;
    case OpKind::trim:
      return info.can_write && info.can_trim;
    case OpKind::flush:
      return info.can_flush;
    case OpKind::cache:
      return info.cache != cache_none;
    case OpKind::extents:
      return info.can_extents && subject.has("extents");
    default:
      return true;
  }
}

// Below zero: from the end.
std::uint64_t folded(std::int64_t offset, std::uint64_t usable) {
  if (offset >= 0) return static_cast<std::uint64_t>(offset) % usable;
  return usable - 1 - static_cast<std::uint64_t>(-(offset + 1)) % usable;
}

// Whether such a request reaches the plugin as one, however long, and carries no data.
bool goes_through_whole(OpKind kind, const ExportInfo& info) {
  return kind == OpKind::trim || kind == OpKind::extents ||
         (kind == OpKind::zero && info.zero == zero_native) ||
         (kind == OpKind::cache && info.cache == cache_native);
}

constexpr std::uint64_t short_one = 65536;

using Record = std::array<std::uint8_t, record_size>;

std::uint64_t interesting(Random& random, unsigned most_shift = 34) {
  const unsigned shift = random() % most_shift;
  const std::uint64_t power = std::uint64_t{1} << shift;
  switch (random() % 4) {
    case 0:
      return power;
    case 1:
      return power - 1;
    case 2:
      return power + 1;
    default:
      return power + random() % 600;
  }
}

// Long requests cost as much as thousands of short ones.
std::uint64_t interesting_count(Random& random) {
  return interesting(random, random() % 64 == 0 ? 33 : 21);
}

// Some lie at the end: offsets below zero.
std::uint64_t interesting_offset(Random& random) {
  const std::uint64_t offset = interesting(random);
  return random() % 8 == 0 ? -offset : offset;
}

void put(Record& record, std::size_t at, std::uint64_t value, std::size_t size) {
  std::memcpy(record.data() + at, &value, size);
}

Record fresh(Random& random) {
  Record record{};
  record[0] = static_cast<std::uint8_t>(random());
  if (random() % 4 == 0) record[1] = static_cast<std::uint8_t>(random() % 16);
  record[2] = random() % 4 == 0 ? 1 : 0;
  record[3] = static_cast<std::uint8_t>(random());
  put(record, 4, random() % 3 == 0 ? interesting_count(random) : 1 + random() % 4096, 4);
  put(record, 8, random() % 2 == 0 ? interesting_offset(random) : random(), 8);
  return record;
}

void change(Record& record, const Record& other, Random& random) {
  switch (random() % 9) {
    case 0:
      record[0] = static_cast<std::uint8_t>(random());
      break;
    case 1:
      record[1] ^= static_cast<std::uint8_t>(1U << random() % 4);
      break;
    case 2:
      record[2] ^= 1;
      record[3] = static_cast<std::uint8_t>(random());
      break;
    case 3:
      put(record, 4, interesting_count(random), 4);
      break;
    case 4:
      put(record, 8, interesting_offset(random), 8);
      break;
    case 5: {  // the same place, or its neighbour
      const auto offset = number_at<std::uint64_t>(other.data() + 8);
      const auto count = number_at<std::uint32_t>(other.data() + 4);
      put(record, 8, random() % 2 == 0 ? offset : offset + count - random() % 2, 8);
      break;
    }
    case 6:  // the very range
      std::copy_n(other.begin() + 4, 12, record.begin() + 4);
      break;
    case 7: {  // where an offset ends that has lost its high bits
      const auto offset = number_at<std::uint64_t>(other.data() + 8);
      std::copy_n(other.begin() + 4, 4, record.begin() + 4);
      put(record, 8, offset ^ std::uint64_t{1} << (16 + random() % 18), 8);
      break;
    }
    default: {
      const auto offset = number_at<std::uint64_t>(record.data() + 8);
      put(record, 8, offset + random() % 5 - 2, 8);
    }
  }
}

}  // namespace

std::vector<Operation> operations_of(std::span<const std::uint8_t> bytes, const Subject& subject,
                                     const Limits& limits) {
  std::vector<Operation> operations;
  const std::uint64_t size = subject.info.size;
  const std::uint64_t block = subject.minimum_block();
  const std::uint64_t usable = size / block * block;
  const unsigned connections =
      subject.thread_model == ThreadModel::serialize_connections ? 1 : limits.connections;
  std::uint64_t most_bytes = limits.most_bytes;
  if (const auto& announced = subject.info.block_size; announced && announced->maximum != 0)
    most_bytes = std::min<std::uint64_t>(most_bytes, announced->maximum);
  std::uint64_t bytes_left = limits.all_bytes;
  std::uint32_t tag = 0;
  while (bytes.size() >= record_size && operations.size() < most_operations) {
    const std::uint8_t* const record = bytes.data();
    bytes = bytes.subspan(record_size);
    Operation op;
    op.kind = kinds[record[0] % kinds.size()];
    if (!offered(op.kind, subject)) op.kind = OpKind::read;
    op.connection = static_cast<std::uint8_t>(record[2] % std::max(1U, connections));
    if (limits.threads > 1) {
      // Each thread has its own connection, and rounds of a few.
      op.thread = static_cast<std::uint8_t>(record[3] % limits.threads);
      op.connection = op.thread < connections ? op.thread : 0;
      op.round = static_cast<std::uint16_t>(1 + operations.size() / 6);
      if (op.kind == OpKind::close) op.kind = OpKind::read;
    }
    if (has_range(op.kind)) {
      if (usable == 0) continue;
      op.offset = folded(number_at<std::int64_t>(record + 8), usable) / block * block;
      const bool long_ones = goes_through_whole(op.kind, subject.info);
      std::uint64_t most = usable - op.offset;
      most = std::min<std::uint64_t>(most, long_ones ? UINT32_MAX : most_bytes);
      if (!long_ones && bytes_left < most_bytes) most = std::min<std::uint64_t>(most, short_one);
      const std::uint64_t count = number_at<std::uint32_t>(record + 4) % (most + 1) / block * block;
      op.count = static_cast<std::uint32_t>(std::max(count, block));
      if (!long_ones) bytes_left -= std::min<std::uint64_t>(bytes_left, op.count);
    }
    if (op.kind == OpKind::write) {
      op.tag = ++tag;
      op.payload = record[0] >= 240   ? Payload::zeroes
                   : record[0] >= 224 ? Payload::ones
                                      : Payload::tags;
    }
    if (modifies(op.kind) && subject.info.fua != fua_none && (record[1] & 1) != 0)
      op.flags |= command_flag::fua;
    if (op.kind == OpKind::zero && (record[1] & 2) != 0) op.flags |= command_flag::no_hole;
    if (op.kind == OpKind::zero && subject.info.can_fast_zero && (record[1] & 4) != 0)
      op.flags |= command_flag::fast_zero;
    operations.push_back(op);
  }
  return operations;
}

std::vector<std::uint8_t> bytes_of(std::span<const Operation> operations) {
  std::vector<std::uint8_t> bytes;
  for (const Operation& op : operations) {
    if (op.kind == OpKind::open) continue;
    Record record{};
    record[0] = static_cast<std::uint8_t>(std::ranges::find(kinds, op.kind) - kinds.begin());
    if (op.kind == OpKind::write && op.payload != Payload::tags)
      record[0] = op.payload == Payload::zeroes ? 241 : 231;  // both are writes
    if ((op.flags & command_flag::fua) != 0) record[1] |= 1;
    if ((op.flags & command_flag::no_hole) != 0) record[1] |= 2;
    if ((op.flags & command_flag::fast_zero) != 0) record[1] |= 4;
    record[2] = op.connection;
    record[3] = op.thread;
    put(record, 4, op.count, 4);
    put(record, 8, op.offset, 8);
    bytes.insert(bytes.end(), record.begin(), record.end());
  }
  return bytes;
}

// In the flags of the first record.
constexpr std::uint8_t guarded_bit = 0x40;
constexpr std::uint8_t odd_bit = 0x80;

BufferMode buffers_of(std::span<const std::uint8_t> bytes) {
  if (bytes.size() < record_size || (bytes[1] & guarded_bit) == 0) return BufferMode::direct;
  return (bytes[1] & odd_bit) != 0 ? BufferMode::guarded_odd : BufferMode::guarded;
}

void set_buffers(std::span<std::uint8_t> bytes, BufferMode mode) {
  if (bytes.size() < record_size) return;
  bytes[1] &= static_cast<std::uint8_t>(~(guarded_bit | odd_bit));
  if (mode != BufferMode::direct) bytes[1] |= guarded_bit;
  if (mode == BufferMode::guarded_odd) bytes[1] |= odd_bit;
}

std::size_t mutate(std::uint8_t* bytes, std::size_t size, std::size_t most, std::uint32_t seed) {
  Random random(seed);
  std::vector<Record> records(size / record_size);
  if (!records.empty()) std::memcpy(records.data(), bytes, records.size() * record_size);
  const std::size_t room = std::min(most / record_size, most_operations);
  for (unsigned times = 1 + random() % 3; times > 0; --times) {
    const std::size_t at = records.empty() ? 0 : random() % records.size();
    const auto place = records.begin() + static_cast<std::ptrdiff_t>(at);
    const unsigned what = records.empty() ? 0 : random() % 8;
    if (what == 0 && records.size() < room) {
      records.insert(place, fresh(random));
    } else if (what == 1 && records.size() > 1) {
      records.erase(place);
    } else if (what == 2 && records.size() < room) {
      const Record copy = *place;
      records.insert(records.begin() + static_cast<std::ptrdiff_t>(random() % records.size()),
                     copy);
    } else if (what == 3) {
      std::swap(*place, records[random() % records.size()]);
    } else if (!records.empty()) {
      const Record other = records[random() % records.size()];
      change(*place, other, random);
    }
  }
  if (records.empty()) return 0;
  // They cost several times as much.
  if (random() % 256 == 0) records.front()[1] ^= guarded_bit;
  std::memcpy(bytes, records.data(), records.size() * record_size);
  return records.size() * record_size;
}

std::size_t cross(std::span<const std::uint8_t> a, std::span<const std::uint8_t> b,
                  std::span<std::uint8_t> out, std::uint32_t seed) {
  Random random(seed);
  const std::size_t head =
      a.size() / record_size == 0 ? 0 : 1 + random() % (a.size() / record_size);
  const std::size_t from = b.size() / record_size == 0 ? 0 : random() % (b.size() / record_size);
  const std::size_t room = std::min(out.size() / record_size, most_operations);
  const std::size_t first = std::min(head, room);
  const std::size_t second = std::min(b.size() / record_size - from, room - first);
  std::copy_n(a.begin(), first * record_size, out.begin());
  std::copy_n(b.begin() + static_cast<std::ptrdiff_t>(from * record_size), second * record_size,
              out.begin() + static_cast<std::ptrdiff_t>(first * record_size));
  return (first + second) * record_size;
}

}  // namespace nbdcheck::fuzz
