#include "bytes.hpp"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "nbdcheck/testing.hpp"

namespace nbdcheck::fuzz {
namespace {

Subject subject(std::uint64_t size = 1U << 20, std::uint32_t block = 0) {
  Subject subject;
  subject.info.size = size;
  if (block != 0) subject.info.block_size = BlockSize{block, 4096, 0xffffffff};
  subject.info.can_write = subject.info.can_flush = subject.info.can_trim = true;
  subject.info.zero = zero_native;
  subject.info.fua = fua_native;
  subject.thread_model = ThreadModel::parallel;
  return subject;
}

// What a client may send; the judge of bytes that fuzzing made.
bool is_valid(const Operation& op, const Subject& s) {
  if (!has_range(op.kind)) return true;
  const std::uint64_t block = s.minimum_block();
  return op.count > 0 && op.offset + op.count <= s.info.size && op.offset % block == 0 &&
         op.count % block == 0;
}

RC_GTEST_PROP(Bytes, AnyAreAValidPlan, (const std::vector<std::uint8_t>& bytes, bool blocks)) {
  const Subject s = subject(blocks ? 65536 : 100'001, blocks ? 512 : 0);
  for (const Operation& op : operations_of(bytes, s, {})) RC_ASSERT(is_valid(op, s));
}

RC_GTEST_PROP(Bytes, MutatedOnesAreAndFit,
              (std::vector<std::uint8_t> bytes, const std::vector<std::uint32_t>& seeds)) {
  const Subject s = subject();
  std::size_t size = bytes.size();
  const std::size_t most = 400;
  bytes.resize(std::max(most, size));
  for (const std::uint32_t seed : seeds) {
    size = mutate(bytes.data(), size, most, seed);
    RC_ASSERT(size <= std::max(most, bytes.size()));
    for (const Operation& op : operations_of({bytes.data(), size}, s, {}))
      RC_ASSERT(is_valid(op, s));
  }
}

TEST(Bytes, OperationsSurvive) {
  const Subject s = subject();
  auto operations = random_operations(s, 200, 7);
  // Each input opens what it uses.
  std::erase_if(operations, [](const Operation& op) { return op.kind == OpKind::open; });
  const auto again = operations_of(bytes_of(operations), s, {.most_bytes = 64U << 20});
  ASSERT_EQ(again.size(), operations.size());
  for (std::size_t i = 0; i < again.size(); ++i) {
    EXPECT_EQ(again[i].kind, operations[i].kind) << i;
    EXPECT_EQ(again[i].offset, operations[i].offset) << describe(operations[i]);
    EXPECT_EQ(again[i].payload, operations[i].payload) << i;
    if (has_range(again[i].kind)) {
      EXPECT_EQ(again[i].count, operations[i].count) << describe(operations[i]);
    }
  }
}

Operation one_of(OpKind kind, std::uint64_t offset, std::uint32_t count, const Subject& s,
                 const Limits& limits = {}) {
  Operation op{.kind = kind};
  op.offset = offset;
  op.count = count;
  return operations_of(bytes_of(std::vector{op}), s, limits).at(0);
}

TEST(Bytes, OffsetsBelowZeroCountFromTheEnd) {
  const Subject s = subject(100'001);
  for (const std::uint64_t back : {1U, 2U, 4096U, 100'001U}) {
    const auto op = one_of(OpKind::read, -back, static_cast<std::uint32_t>(back), s);
    EXPECT_EQ(op.offset, s.info.size - back);
    EXPECT_EQ(op.count, back);
  }
  EXPECT_EQ(one_of(OpKind::read, std::uint64_t{1} << 63, 1, s).count, 1U);
}

TEST(Bytes, OnlyWhatCarriesNoDataIsLongerThan64MiB) {
  Subject s = subject(std::uint64_t{8} << 30);
  constexpr std::uint32_t most = 3U << 30;
  EXPECT_EQ(one_of(OpKind::zero, 0, most, s).count, most);
  EXPECT_EQ(one_of(OpKind::trim, 0, most, s).count, most);
  EXPECT_LE(one_of(OpKind::read, 0, most, s).count, max_request_size);
  s.info.zero = zero_emulate;
  EXPECT_LE(one_of(OpKind::zero, 0, most, s).count, max_request_size);
  s.info.block_size = BlockSize{512, 4096, 8192};
  for (std::uint32_t count = 1; count < 100'000; count += 511)
    EXPECT_LE(one_of(OpKind::write, 0, count, s).count, 8192U);
}

TEST(Bytes, ManyLongRequestsBecomeShortOnes) {
  std::vector<Operation> operations(100, Operation{.kind = OpKind::read});
  for (Operation& op : operations) op.count = max_request_size;
  std::uint64_t sum = 0;
  for (const Operation& op : operations_of(bytes_of(operations), subject(1U << 30), {}))
    sum += op.count;
  EXPECT_GE(sum, 64U << 20);
  EXPECT_LE(sum, (256U << 20) + 100 * 65536);
}

TEST(Bytes, SayHowBuffersAreGiven) {
  auto bytes = bytes_of(random_operations(subject(), 10, 1));
  EXPECT_EQ(buffers_of(bytes), BufferMode::direct);
  const auto operations = operations_of(bytes, subject(), {});
  for (const BufferMode mode : {BufferMode::guarded_odd, BufferMode::guarded, BufferMode::direct}) {
    set_buffers(bytes, mode);
    EXPECT_EQ(buffers_of(bytes), mode);
    EXPECT_EQ(operations_of(bytes, subject(), {}), operations);
  }
  EXPECT_EQ(buffers_of({}), BufferMode::direct);
}

TEST(Aimed, ComeToTheEndsAndBeyond32Bits) {
  Subject s = subject(std::uint64_t{8} << 30);
  bool last = false;
  bool high = false;
  bool longest = false;
  bool wide = false;
  bool guarded = false;
  for (const auto& bytes : aimed_inputs()) {
    guarded = guarded || buffers_of(bytes) == BufferMode::guarded;
    for (const Operation& op : operations_of(bytes, s, {})) {
      ASSERT_TRUE(is_valid(op, s)) << describe(op);
      last = last || (op.count == 1 && op.offset + 1 == s.info.size);
      high = high || (op.kind == OpKind::write && op.offset > UINT32_MAX && op.offset >> 30 < 5);
      longest = longest || (op.kind == OpKind::write && op.count == max_request_size);
      wide = wide || (op.kind == OpKind::zero && op.count > INT32_MAX);
    }
  }
  EXPECT_TRUE(last && longest && wide && guarded);
  EXPECT_TRUE(high);
}

TEST(Mutate, GrowsFromNothingAndShrinks) {
  std::vector<std::uint8_t> bytes(400);
  std::size_t size = 0;
  bool grew = false;
  bool shrank = false;
  for (std::uint32_t seed = 0; seed < 500; ++seed) {
    const std::size_t next = mutate(bytes.data(), size, bytes.size(), seed);
    grew = grew || next > size;
    shrank = shrank || next < size;
    size = next;
    ASSERT_EQ(size % record_size, 0U);
  }
  EXPECT_TRUE(grew && shrank);
}

TEST(Cross, TakesTheHeadOfOneAndTheTailOfTheOther) {
  const std::vector<std::uint8_t> a(5 * record_size, 1);
  const std::vector<std::uint8_t> b(5 * record_size, 2);
  std::vector<std::uint8_t> out(400);
  for (std::uint32_t seed = 0; seed < 50; ++seed) {
    const std::size_t size = cross(a, b, out, seed);
    ASSERT_EQ(size % record_size, 0U);
    ASSERT_GE(size, 2 * record_size);
    EXPECT_EQ(out[0], 1);
    EXPECT_EQ(out[size - 1], 2);
  }
}

}  // namespace
}  // namespace nbdcheck::fuzz
