// cxx-filedisk: a file or block device as a disk, with real durability.
//
//   nbdkit ./cxx-filedisk.so file=disk.img
//
// Each connection opens the file itself. They share the kernel's page cache and fdatasync reaches
// all of it, so what is flushed on one is stable for all: that is what lets can_multi_conn say
// yes.
#include "nbdkit.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cstdlib>

namespace {

std::string filename;  // absolute: the server may change its directory later

[[noreturn]] void fail(int error, const char* what) {
  throw std::system_error(error, std::generic_category(), filename + ": " + what);
}

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (fd_ != -1) close(fd_);
  }
  [[nodiscard]] int get() const { return fd_; }

 private:
  int fd_;
};

int open_for(int access) { return open(filename.c_str(), access | O_CLOEXEC | O_NOCTTY); }

// A file that may only be read is served read-only.
int open_file(bool readonly, bool& writable) {
  writable = !readonly;
  int fd = open_for(readonly ? O_RDONLY : O_RDWR);
  if (fd == -1 && writable && (errno == EACCES || errno == EPERM || errno == EROFS)) {
    nbdkit_debug("%s: %m; serving it read-only", filename.c_str());
    writable = false;
    fd = open_for(O_RDONLY);
  }
  return fd;
}

class FileDisk {
 public:
  static constexpr const char* name = "cxx-filedisk";
  static constexpr const char* longname = "nbdcheck reference file disk in C++";
  static constexpr const char* version = "0.1.0";
  static constexpr const char* config_help =
      "file=<FILE>  (required) The file or block device to serve.";
  static constexpr const char* magic_config_key = "file";
  static constexpr int thread_model = NBDKIT_THREAD_MODEL_PARALLEL;

  static void config(const std::string& key, const char* value) {
    if (key != "file") throw nbdkit::Error(EINVAL, "unknown parameter '" + key + "'");
    const std::unique_ptr<char, decltype(&std::free)> path(nbdkit_absolute_path(value), std::free);
    if (!path) throw nbdkit::Reported();
    filename = path.get();
  }

  static void config_complete() {
    if (filename.empty())
      throw nbdkit::Error(EINVAL, "the file parameter is required: which file shall be served?");
  }

  // Fail before serving rather than at the first connection.
  static void get_ready() {
    struct stat st;
    if (stat(filename.c_str(), &st) == -1) fail(errno, "stat");
    if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
      throw nbdkit::Error(EINVAL, filename + ": neither a file nor a block device");
  }

  static void unload() {
    filename.clear();
    filename.shrink_to_fit();
  }

  explicit FileDisk(bool readonly) : descriptor_(open_file(readonly, writable_)) {
    if (descriptor_.get() == -1) fail(errno, "open");
  }

  // lseek and not st_size, which is 0 for a block device.
  std::int64_t get_size() {
    const off_t end = lseek(fd(), 0, SEEK_END);
    if (end == -1) fail(errno, "lseek");
    return end;
  }

  [[nodiscard]] bool can_write() const { return writable_; }
  static bool can_multi_conn() { return true; }
  static int can_fua() { return NBDKIT_FUA_NATIVE; }
  static bool can_fast_zero() { return true; }

  // An empty file has no position to seek to: ENXIO there does not mean "cannot".
  bool can_extents() { return lseek(fd(), 0, SEEK_HOLE) != -1 || errno == ENXIO; }

  void pread(std::span<std::byte> to, std::uint64_t offset) {
    while (!to.empty()) {
      const ssize_t n = ::pread(fd(), to.data(), to.size(), static_cast<off_t>(offset));
      if (n == -1 && errno == EINTR) continue;
      if (n == -1) fail(errno, "pread");
      if (n == 0) throw nbdkit::Error(EIO, filename + ": it has become shorter");
      to = to.subspan(static_cast<std::size_t>(n));
      offset += static_cast<std::uint64_t>(n);
    }
  }

  void pwrite(std::span<const std::byte> from, std::uint64_t offset, std::uint32_t flags) {
    while (!from.empty()) {
      const ssize_t n = ::pwrite(fd(), from.data(), from.size(), static_cast<off_t>(offset));
      if (n == -1 && errno == EINTR) continue;
      if (n == -1) fail(errno, "pwrite");
      from = from.subspan(static_cast<std::size_t>(n));
      offset += static_cast<std::uint64_t>(n);
    }
    flush_if(flags);
  }

  void flush() {
    if (fdatasync(fd()) == -1) fail(errno, "fdatasync");
  }

  // A hint: where it cannot be done, doing nothing is right.
  void trim(std::uint32_t count, std::uint64_t offset, std::uint32_t flags) {
    allocate(FALLOC_FL_PUNCH_HOLE, offset, count);
    flush_if(flags);
  }

  void zero(std::uint32_t count, std::uint64_t offset, std::uint32_t flags) {
    const int how = flags & NBDKIT_FLAG_MAY_TRIM ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE;
    if (!allocate(how, offset, count)) throw nbdkit::Declined();
    flush_if(flags);
  }

  void extents(std::uint32_t count, std::uint64_t offset, std::uint32_t flags,
               nbdkit::Extents& list) {
    const std::uint64_t end = offset + count;
    while (offset < end) {
      const std::uint64_t data = seek(offset, SEEK_DATA, end);
      if (data > offset) {
        list.add(offset, data - offset, NBDKIT_EXTENT_HOLE | NBDKIT_EXTENT_ZERO);
        if (flags & NBDKIT_FLAG_REQ_ONE) return;
      }
      if (data >= end) return;
      const std::uint64_t hole = seek(data, SEEK_HOLE, end);
      list.add(data, hole - data, 0);
      if ((flags & NBDKIT_FLAG_REQ_ONE) && hole > data) return;
      offset = hole;
    }
  }

 private:
  [[nodiscard]] int fd() const { return descriptor_.get(); }

  void flush_if(std::uint32_t flags) {
    if (flags & NBDKIT_FLAG_FUA) flush();
  }

  // False: this file cannot do that.
  bool allocate(int how, std::uint64_t offset, std::uint32_t count) {
    int r;
    do r = fallocate(fd(), how | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(offset), count);
    while (r == -1 && errno == EINTR);
    if (r == 0) return true;
    if (errno == EOPNOTSUPP || errno == ENOSYS || errno == ENODEV) return false;
    fail(errno, "fallocate");
  }

  // `otherwise` when there is nothing of that kind from here on.
  std::uint64_t seek(std::uint64_t offset, int what, std::uint64_t otherwise) {
    const off_t found = lseek(fd(), static_cast<off_t>(offset), what);
    if (found == -1 && errno == ENXIO) return otherwise;
    if (found == -1) fail(errno, "lseek");
    return static_cast<std::uint64_t>(found);
  }

  bool writable_ = false;
  Descriptor descriptor_;
};

}  // namespace

NBDKIT_CXX_PLUGIN(FileDisk)
