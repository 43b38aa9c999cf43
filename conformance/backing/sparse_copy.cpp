#include "backing/sparse_copy.hpp"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

#include "values/descriptor.hpp"

namespace nbdcheck {
namespace {

constexpr std::size_t chunk = 1U << 20;

bool all_zero(const std::vector<char>& buffer, std::size_t count) {
  return count == 0 ||
         (buffer[0] == 0 && std::memcmp(buffer.data(), buffer.data() + 1, count - 1) == 0);
}

// [begin, end) by way of memory; where copy_file_range(2) cannot.
int copy_through_buffer(int from, int to, off_t begin, off_t end) {
  std::vector<char> buffer(chunk);
  while (begin < end) {
    const auto wanted = std::min(static_cast<std::size_t>(end - begin), chunk);
    const ssize_t got = ::pread(from, buffer.data(), wanted, begin);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno;
    if (got == 0) return 0;  // the file shrank meanwhile
    const auto count = static_cast<std::size_t>(got);
    // File systems without SEEK_HOLE show holes as zeroes.
    if (!all_zero(buffer, count)) {
      for (std::size_t done = 0; done < count;) {
        const ssize_t put =
            ::pwrite(to, buffer.data() + done, count - done, begin + static_cast<off_t>(done));
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) return errno;
        done += static_cast<std::size_t>(put);
      }
    }
    begin += got;
  }
  return 0;
}

int copy_data(int from, int to, off_t begin, off_t end) {
  while (begin < end) {
    off_t in = begin;
    off_t out = begin;
    const ssize_t copied =
        ::copy_file_range(from, &in, to, &out, static_cast<std::size_t>(end - begin), 0);
    if (copied < 0 && errno == EINTR) continue;
    if (copied < 0 && (errno == ENOSPC || errno == EIO || errno == EFBIG || errno == EDQUOT)) {
      return errno;
    }
    // Not between these file systems, or not at all.
    if (copied <= 0) return copy_through_buffer(from, to, begin, end);
    begin += copied;
  }
  return 0;
}

int copy_contents(int from, int to, off_t size) {
  if (::ftruncate(to, size) != 0) return errno;
  for (off_t position = 0; position < size;) {
    const off_t data = ::lseek(from, position, SEEK_DATA);
    if (data < 0 && errno == ENXIO) return 0;  // the rest is a hole
    if (data < 0) return copy_data(from, to, position, size);
    off_t hole = ::lseek(from, data, SEEK_HOLE);
    if (hole < 0) hole = size;
    if (const int error = copy_data(from, to, data, std::min(hole, size)); error != 0) return error;
    position = hole;
  }
  return 0;
}

}  // namespace

std::uint64_t allocated_bytes(const struct stat& status) {
  return static_cast<std::uint64_t>(status.st_blocks) * 512;
}

int copy_sparse(const std::string& from, const std::string& to) {
  const Descriptor source(::open(from.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (source.get() < 0) return errno;
  struct stat status {};
  if (::fstat(source.get(), &status) != 0) return errno;
  if (!S_ISREG(status.st_mode)) return EINVAL;
  Descriptor target(::open(to.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (target.get() < 0) return errno;
  int error = 0;
  if (::ioctl(target.get(), FICLONE, source.get()) != 0) {
    error = copy_contents(source.get(), target.get(), status.st_size);
  }
  // A file that may not be written stays so: the plugin looks at that.
  if (error == 0 && ::fchmod(target.get(), status.st_mode & 0777U) != 0) error = errno;
  if (target.close() != 0 && error == 0) error = errno;
  if (error != 0) ::unlink(to.c_str());
  return error;
}

}  // namespace nbdcheck
