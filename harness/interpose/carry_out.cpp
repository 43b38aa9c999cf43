#include "interpose/carry_out.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <limits>
#include <string>

#include "interpose/call_name.hpp"

namespace nbdcheck::interpose {
namespace {

using Kind = FileCall::Kind;
constexpr std::uint64_t whole = std::numeric_limits<std::uint64_t>::max();
constexpr std::uint64_t most_looked_at = 4U << 20;  // of what one call writes
constexpr int rwf_sync = 0x2 | 0x4;                 // RWF_DSYNC, RWF_SYNC
constexpr unsigned range_and_wait =
    SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER;

Answer perform(int number, const __u64* a) {
  const long value = ::syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
  return value == -1 ? Answer{false, 0, errno} : Answer{false, value, 0};
}

Answer failure(int error) { return {false, 0, error}; }

bool is_vector(int number) {
  return number == SYS_writev || number == SYS_pwritev || number == SYS_pwritev2 ||
         number == SYS_readv || number == SYS_preadv || number == SYS_preadv2;
}

bool has_offset(const seccomp_data& call) {
  switch (call.nr) {
    case SYS_pwrite64:
    case SYS_pread64:
    case SYS_pwritev:
    case SYS_preadv:
      return true;
    case SYS_pwritev2:
    case SYS_preadv2:
      return static_cast<std::int64_t>(call.args[3]) != -1;
    default:
      return false;
  }
}

// Of the pieces that a call reads from or writes to.  The kernel copes with
// bad pointers; we ask it whether it can read the list.
std::vector<iovec> pieces_of(const seccomp_data& call) {
  if (!is_vector(call.nr)) {
    return {{reinterpret_cast<void*>(call.args[1]), call.args[2]}};
  }
  const std::size_t count = std::min<std::size_t>(call.args[2], 1024);
  std::vector<iovec> list(count);
  const iovec to{list.data(), count * sizeof(iovec)};
  const iovec from{reinterpret_cast<void*>(call.args[1]), count * sizeof(iovec)};
  if (::process_vm_readv(::getpid(), &to, 1, &from, 1, 0) !=
      static_cast<ssize_t>(count * sizeof(iovec)))
    list.clear();
  return list;
}

std::uint64_t total(const std::vector<iovec>& list) {
  std::uint64_t sum = 0;
  for (const iovec& piece : list) sum += piece.iov_len;
  return sum;
}

void cut(std::vector<iovec>& list, std::uint64_t size) {
  for (iovec& piece : list) {
    piece.iov_len = std::min<std::uint64_t>(piece.iov_len, size);
    size -= piece.iov_len;
  }
}

// The first half only.
Answer perform_short(const seccomp_data& call) {
  __u64 arguments[6];
  std::copy(std::begin(call.args), std::end(call.args), std::begin(arguments));
  std::vector<iovec> list = pieces_of(call);
  if (!is_vector(call.nr)) {
    arguments[2] /= 2;
    return perform(call.nr, arguments);
  }
  cut(list, total(list) / 2);
  arguments[1] = reinterpret_cast<__u64>(list.data());
  return perform(call.nr, arguments);
}

// Where what a call without an offset of its own has just moved lies.
std::uint64_t position_after(int fd, long moved) {
  const off_t now = ::lseek(fd, 0, SEEK_CUR);
  return now < moved ? 0 : static_cast<std::uint64_t>(now - moved);
}

}  // namespace

void CallCarrier::keep(FileCall call, const char* detail, const Answer& answer) {
  call.error = answer.error;
  const std::string file =
      call.file < 0 ? "" : std::filesystem::path(files_[call.file].path).filename().string();
  call.text =
      fmt::format("{}({}{}{})", name_, file, *detail != 0 && !file.empty() ? ", " : "", detail);
  if (!answer.go_on)
    call.text += answer.error != 0
                     ? fmt::format(" = -1 ({}{})", std::strerror(answer.error),
                                   call.injected ? ", injected" : "")
                     : fmt::format(" = {}{}", answer.value, call.injected ? " (made short)" : "");
  found_.push_back(std::move(call));
}

Answer CallCarrier::take(const seccomp_data& call) {
  name_ = call_name(call.nr);
  switch (call.nr) {
    case SYS_write:
    case SYS_pwrite64:
    case SYS_writev:
    case SYS_pwritev:
    case SYS_pwritev2:
      return write(call);
    case SYS_read:
    case SYS_pread64:
    case SYS_readv:
    case SYS_preadv:
    case SYS_preadv2:
      return read(call);
    case SYS_copy_file_range:
    case SYS_sendfile:
      return copy(call);
    case SYS_fsync:
    case SYS_fdatasync:
    case SYS_sync_file_range:
    case SYS_syncfs:
    case SYS_sync:
      return sync(call);
    case SYS_msync:
      return sync_memory(call);
    case SYS_mmap:
      return map(call);
    case SYS_fallocate:
    case SYS_ftruncate:
      return clear(call);
    case SYS_sendto:
      send(call.args[2]);
      return {};
    case SYS_sendmsg:
    case SYS_sendmmsg:
      send(whole);
      return {};
    default:
      opaque(call);
      return {};
  }
}

void CallCarrier::take_foreign(const seccomp_data& call) {
  name_ = call_name(call.nr);
  switch (call.nr) {
    case SYS_fsync:
    case SYS_fdatasync:
    case SYS_sync_file_range:
    case SYS_syncfs:
    case SYS_sync:
    case SYS_msync:
      keep({.kind = Kind::sync, .end = whole}, "in a process that the plugin started", {});
      break;
    default:
      break;
  }
}

void CallCarrier::send(std::uint64_t size) {
  constexpr std::uint64_t chatter = 64;
  if (size >= chatter) found_.push_back({.kind = Kind::send, .end = size});
}

void CallCarrier::opaque(const seccomp_data& call) {
  if (call.nr == SYS_splice && files_.of_descriptor(static_cast<int>(call.args[2])) < 0) {
    send(call.args[4]);
    return;
  }
  keep({.kind = Kind::opaque}, "", {});
}

void CallCarrier::look_at(FileCall& call, const seccomp_data& data, std::uint64_t size) {
  std::vector<iovec> list = pieces_of(data);
  cut(list, size);
  std::vector<std::byte> joined;
  std::span<const std::byte> bytes;
  if (list.size() == 1) {
    bytes = {static_cast<const std::byte*>(list[0].iov_base), list[0].iov_len};
  } else {
    for (const iovec& piece : list) {
      const auto* from = static_cast<const std::byte*>(piece.iov_base);
      if (joined.size() < most_looked_at) joined.insert(joined.end(), from, from + piece.iov_len);
    }
    bytes = joined;
  }
  bytes = bytes.first(std::min<std::size_t>(bytes.size(), most_looked_at));
  if (bytes.empty()) return;
  call.zeroes = std::ranges::all_of(bytes, [](std::byte b) { return b == std::byte{0}; });
  if (call.zeroes || !recognise_) return;
  call.pieces = recognise_(bytes);
  for (Piece& piece : call.pieces) piece.at += call.begin;
}

Answer CallCarrier::write(const seccomp_data& call) {
  const int fd = static_cast<int>(call.args[0]);
  const int file = files_.of_descriptor(fd);
  if (file < 0) {
    send(is_vector(call.nr) ? total(pieces_of(call)) : call.args[2]);
    return {};
  }
  FileCall record{.kind = Kind::write, .file = file};
  Answer answer;
  const std::uint64_t asked = total(pieces_of(call));
  if (files_.is_backing(file) && faults_.take(FileFault::disk_full)) {
    record.injected = true;
    answer = failure(ENOSPC);
  } else if (files_.is_backing(file) && faults_.take(FileFault::interrupted_write)) {
    record.injected = true;
    answer = failure(EINTR);
  } else if (files_.is_backing(file) && asked > 1 && faults_.take(FileFault::short_write)) {
    record.injected = true;
    answer = perform_short(call);
  } else {
    answer = perform(call.nr, call.args);
  }
  if (answer.error == 0) {
    record.begin = has_offset(call) ? call.args[3] : position_after(fd, answer.value);
    record.end = record.begin + static_cast<std::uint64_t>(answer.value);
    record.durable = (::fcntl(fd, F_GETFL) & (O_DSYNC | O_SYNC | O_DIRECT)) != 0 ||
                     (call.nr == SYS_pwritev2 && (call.args[5] & rwf_sync) != 0);
    look_at(record, call, static_cast<std::uint64_t>(answer.value));
  } else if (has_offset(call)) {
    record.begin = call.args[3];
    record.end = record.begin + asked;
  }
  const std::string detail = fmt::format("{} bytes, offset {}", asked, record.begin);
  keep(std::move(record), detail.c_str(), answer);
  return answer;
}

Answer CallCarrier::read(const seccomp_data& call) {
  const int file = files_.of_descriptor(static_cast<int>(call.args[0]));
  if (!files_.is_backing(file)) return {};
  if (faults_.take(FileFault::interrupted_read)) return failure(EINTR);
  const std::uint64_t asked = total(pieces_of(call));
  if (asked > 1 && faults_.take(FileFault::short_read)) return perform_short(call);
  return {};
}

// What was copied is read back from the file, by a descriptor of our own: the
// plugin's need not be good for reading.
void CallCarrier::look_at_file(FileCall& call, int fd) {
  const std::string path = "/proc/self/fd/" + std::to_string(fd);
  const int own = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (own < 0) return;
  std::vector<std::byte> bytes(std::min(call.end - call.begin, most_looked_at));
  const ssize_t got = ::pread(own, bytes.data(), bytes.size(), static_cast<off_t>(call.begin));
  ::close(own);
  if (got <= 0 || !recognise_) return;
  call.pieces = recognise_(std::span(bytes).first(static_cast<std::size_t>(got)));
  for (Piece& piece : call.pieces) piece.at += call.begin;
}

Answer CallCarrier::copy(const seccomp_data& call) {
  const bool range = call.nr == SYS_copy_file_range;
  const int fd = static_cast<int>(call.args[range ? 2 : 0]);
  const int file = files_.of_descriptor(fd);
  if (file < 0) {
    send(call.args[range ? 4 : 3]);
    return {};
  }
  const Answer answer = perform(call.nr, call.args);
  if (answer.error != 0) return answer;
  FileCall record{.kind = Kind::write, .file = file};
  std::int64_t after = -1;
  const iovec to{&after, sizeof after};
  const iovec from{reinterpret_cast<void*>(call.args[3]), sizeof after};
  if (range && call.args[3] != 0 && ::process_vm_readv(::getpid(), &to, 1, &from, 1, 0) > 0)
    record.begin = static_cast<std::uint64_t>(std::max<std::int64_t>(0, after - answer.value));
  else
    record.begin = position_after(fd, answer.value);
  record.end = record.begin + static_cast<std::uint64_t>(answer.value);
  record.durable = (::fcntl(fd, F_GETFL) & (O_DSYNC | O_SYNC | O_DIRECT)) != 0;
  look_at_file(record, fd);
  const std::string detail = fmt::format("offset {}", record.begin);
  keep(std::move(record), detail.c_str(), answer);
  return answer;
}

Answer CallCarrier::sync(const seccomp_data& call) {
  // The whole system's files, or a file system's: other programs' data as well,
  // so the thread may wait for them by itself.
  if (call.nr == SYS_sync || call.nr == SYS_syncfs) {
    keep({.kind = Kind::sync, .end = whole}, "", {});
    return {};
  }
  const int file = files_.of_descriptor(static_cast<int>(call.args[0]));
  if (file < 0) return {};
  FileCall record{.kind = Kind::sync, .file = file, .end = whole};
  std::string detail;
  if (call.nr == SYS_sync_file_range) {
    if ((call.args[3] & range_and_wait) != range_and_wait) return {};  // promises nothing
    record.begin = call.args[1];
    if (call.args[2] != 0) record.end = record.begin + call.args[2];
    detail = fmt::format("{} bytes, offset {}", call.args[2], record.begin);
  }
  record.injected = files_.is_backing(file) && faults_.take(FileFault::sync_fails);
  const Answer answer = record.injected ? failure(EIO) : perform(call.nr, call.args);
  keep(std::move(record), detail.c_str(), answer);
  return answer;
}

Answer CallCarrier::sync_memory(const seccomp_data& call) {
  if ((call.args[2] & MS_SYNC) == 0) return {};
  FileCall record{.kind = Kind::sync, .end = whole};
  // A mapping that was made unseen may be of any file.
  if (const auto range = files_.of_memory(call.args[0], call.args[1])) {
    record.file = range->file;
    record.begin = range->begin;
    record.end = range->end;
  }
  record.injected = files_.is_backing(record.file) && faults_.take(FileFault::sync_fails);
  const Answer answer = record.injected ? failure(EIO) : perform(call.nr, call.args);
  const std::string detail =
      fmt::format("{} bytes, offset {}, MS_SYNC", call.args[1], record.begin);
  keep(std::move(record), detail.c_str(), answer);
  return answer;
}

Answer CallCarrier::map(const seccomp_data& call) {
  const int fd = static_cast<int>(call.args[4]);
  const int file = files_.of_descriptor(fd);
  if (file < 0) return {};
  const Answer answer = perform(call.nr, call.args);
  if (answer.error != 0) return answer;
  const std::uint64_t offset = call.args[5];
  const std::uint64_t size = call.args[1];
  files_.add_mapping(static_cast<std::uint64_t>(answer.value), size, file, offset);
  if ((::fcntl(fd, F_GETFL) & O_ACCMODE) != O_RDWR) return answer;
  FileCall record{.kind = Kind::map, .file = file, .begin = offset, .end = offset + size};
  // Stores into persistent memory are made durable by the processor alone.
  record.durable = (call.args[3] & MAP_SYNC) != 0;
  const std::string detail = fmt::format("{} bytes, offset {}, MAP_SHARED", size, offset);
  keep(std::move(record), detail.c_str(), answer);
  return answer;
}

Answer CallCarrier::clear(const seccomp_data& call) {
  const int fd = static_cast<int>(call.args[0]);
  const int file = files_.of_descriptor(fd);
  if (file < 0) return {};
  FileCall record{.kind = Kind::clear, .file = file, .end = whole};
  std::string detail;
  if (call.nr == SYS_ftruncate) {
    record.begin = call.args[1];
    detail = fmt::format("{} bytes", record.begin);
  } else {
    constexpr unsigned changing = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE |
                                  FALLOC_FL_COLLAPSE_RANGE | FALLOC_FL_INSERT_RANGE;
    if ((call.args[1] & changing) == 0) return {};
    record.begin = call.args[2];
    record.end = record.begin + call.args[3];
    detail = fmt::format("{}, {} bytes, offset {}",
                         (call.args[1] & FALLOC_FL_PUNCH_HOLE) != 0 ? "PUNCH_HOLE" : "ZERO_RANGE",
                         call.args[3], record.begin);
  }
  const Answer answer = perform(call.nr, call.args);
  record.durable = (::fcntl(fd, F_GETFL) & (O_DSYNC | O_SYNC | O_DIRECT)) != 0;
  keep(std::move(record), detail.c_str(), answer);
  return answer;
}

}  // namespace nbdcheck::interpose
