#include "execute/operation_log.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <type_traits>

namespace nbdcheck {
namespace {

static_assert(std::is_trivially_copyable_v<Operation>);
constexpr std::size_t first_capacity = 1U << 14;
constexpr std::size_t limit = 16U << 20;

std::size_t bytes_for(std::size_t operations) { return 32 + operations * sizeof(Operation); }

}  // namespace

OperationLog::OperationLog(const std::string& path)
    : fd_(::open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600)) {
  if (fd_ >= 0) grow();
}

OperationLog::~OperationLog() {
  if (map_ != nullptr) ::munmap(map_, bytes_for(capacity_));
  if (fd_ >= 0) ::close(fd_);
}

bool OperationLog::grow() {
  const std::size_t capacity = capacity_ == 0 ? first_capacity : capacity_ * 4;
  if (capacity > limit) return false;
  // posix_fallocate, not ftruncate: a full disk must not become a SIGBUS.
  if (::posix_fallocate(fd_, 0, static_cast<off_t>(bytes_for(capacity))) != 0) return false;
  void* map = ::mmap(nullptr, bytes_for(capacity), PROT_READ | PROT_WRITE, MAP_SHARED, fd_, 0);
  if (map == MAP_FAILED) return false;
  if (map_ != nullptr) ::munmap(map_, bytes_for(capacity_));
  map_ = static_cast<Header*>(map);
  capacity_ = capacity;
  return true;
}

void OperationLog::append(const Operation& op) {
  if (map_ == nullptr || (count_ >= capacity_ && !grow())) return;
  reinterpret_cast<Operation*>(map_ + 1)[count_] = op;
  ++count_;
  std::atomic_ref<std::uint64_t>(map_->count).store(count_, std::memory_order_release);
}

void OperationLog::restart() {
  count_ = 0;
  if (map_ != nullptr) std::atomic_ref<std::uint64_t>(map_->count).store(0);
}

std::vector<Operation> OperationLog::load(const std::string& path) {
  std::vector<Operation> operations;
  std::ifstream file(path, std::ios::binary);
  Header header{};
  if (!file.read(reinterpret_cast<char*>(&header), sizeof(header))) return operations;
  // The plugin may have scribbled over the map: believe nothing.
  while (operations.size() < header.count && operations.size() < limit) {
    Operation op;
    if (!file.read(reinterpret_cast<char*>(&op), sizeof(op))) break;
    if (op.kind > OpKind::extents || op.payload > Payload::ones || op.connection > 64 ||
        op.thread >= max_plan_threads)
      break;
    operations.push_back(op);
  }
  return operations;
}

}  // namespace nbdcheck
