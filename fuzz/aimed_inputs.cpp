#include <array>
#include <cstdint>

#include "bytes.hpp"
#include "nbdcheck/types.hpp"

namespace nbdcheck::fuzz {
namespace {

class Inputs {
 public:
  Inputs& add(OpKind kind, std::uint64_t offset, std::uint32_t count, std::uint8_t flags = 0) {
    Operation op{.kind = kind, .flags = flags};
    op.offset = offset;
    op.count = count;
    operations_.push_back(op);
    return *this;
  }
  Inputs& read(std::uint64_t offset, std::uint32_t count) {
    return add(OpKind::read, offset, count);
  }
  Inputs& write(std::uint64_t offset, std::uint32_t count) {
    return add(OpKind::write, offset, count);
  }
  // What was added since the last one.
  void end(BufferMode buffers = BufferMode::direct) {
    all_.push_back(bytes_of(operations_));
    set_buffers(all_.back(), buffers);
    operations_.clear();
  }
  [[nodiscard]] std::vector<std::vector<std::uint8_t>> take() { return std::move(all_); }

 private:
  std::vector<Operation> operations_;
  std::vector<std::vector<std::uint8_t>> all_;
};

constexpr std::uint64_t from_end(std::uint64_t bytes) { return -bytes; }
constexpr std::uint64_t gib = 1U << 30;
constexpr std::uint32_t mib = 1U << 20;

}  // namespace

std::vector<std::vector<std::uint8_t>> aimed_inputs() {
  Inputs inputs;
  for (const std::uint32_t count : {1U, 512U, 4096U, 65536U}) {
    // The end.
    const std::uint64_t at = from_end(count);
    inputs.write(at, count).read(at, count).add(OpKind::zero, at, count).read(at, count);
    inputs.add(OpKind::extents, at, count).add(OpKind::trim, at, count).end();
    // The same place, again and again.
    inputs.read(65536, count).write(65536, count).read(65536, count).read(65536, count);
    inputs.add(OpKind::zero, 65536, count).read(65536, count).write(65536, count).end();
    inputs.read(0, count).add(OpKind::zero, 0, count, command_flag::fast_zero).read(0, count);
    inputs.write(0, count).add(OpKind::zero, 0, count, command_flag::no_hole).read(0, count);
    inputs.add(OpKind::trim, 0, count).read(0, count).end();
  }
  // Places that are one when the high bits are lost.
  for (const std::uint64_t apart : {gib, 2 * gib, 4 * gib}) {
    inputs.write(mib, 4096).write(mib + apart, 4096).read(mib, 4096).read(mib + apart, 4096);
    inputs.add(OpKind::zero, mib + apart, 512).add(OpKind::trim, mib, 512);
    inputs.read(mib + apart + 512, 4096).read(mib + 512, 4096).end();
  }
  // Long ones.
  for (const std::uint32_t count : {65537U, 1000001U, 4 * mib + 512, 32 * mib + 512, 64 * mib}) {
    inputs.write(0, count).read(0, 4096).read(count - 4096, 4096).read(0, count).end();
    inputs.write(0, 4096).write(count - 4096, 8192).add(OpKind::zero, 0, count);
    inputs.read(0, 4096).read(count - 4096, 8192).end();
  }
  // Those without data may be longer still.
  for (const OpKind kind : {OpKind::zero, OpKind::trim, OpKind::extents, OpKind::cache}) {
    const auto most = static_cast<std::uint32_t>(2 * gib + 4096);
    inputs.write(0, 4096).write(most - 4096, 8192).add(kind, 0, most);
    inputs.read(0, 4096).read(most - 4096, 8192).end();
    inputs.add(kind, 0, gib).add(kind, 0, UINT32_MAX - 4095).read(0, 4096).end();
  }
  // Maps of much and of little.
  inputs.write(0, 4096).write(81920, 4096).write(500000, 1);
  inputs.add(OpKind::extents, 0, mib).add(OpKind::extents, 65536, 65536);
  inputs.add(OpKind::extents, 0, 4096).add(OpKind::extents, 81920, 1, command_flag::req_one).end();

  for (const BufferMode mode : {BufferMode::guarded, BufferMode::guarded_odd}) {
    inputs.write(0, 4096).read(0, 4096).read(4096, 513).write(512, 1000);
    inputs.read(0, 8192).write(65536, 65536).read(65536, 65536).read(0, 1).end(mode);
  }
  return inputs.take();
}

}  // namespace nbdcheck::fuzz
