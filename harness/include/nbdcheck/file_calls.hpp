// The system calls by which a plugin changes files and makes changes durable,
// seen as they happen: through libc, stdio or a runtime's own assembly, on any
// thread.  A seccomp filter hands them to a supervising thread of the same
// process, which shares its descriptors and memory, carries each out in the
// plugin's place and notes what came of it (seccomp_unotify(2)).
//
//   auto watch = FileCallWatch::start({.roots = {"/scratch/files"}, ...});
//   (*watch)->run([&] { /* load the plugin, serve, connect */ });
//   for (const FileCall& call : (*watch)->calls()) ...
//
// Calls are numbered in the order in which they took effect: one at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <tl/expected.hpp>
#include <vector>

namespace nbdcheck {

// A stretch of a buffer that holds known data: the bytes that request `name`
// put at `place` of the export.
struct Piece {
  std::uint32_t name = 0;
  std::uint64_t place = 0;
  std::uint64_t at = 0;  // in the buffer; in a FileCall: in the file
  std::uint64_t size = 0;
};

struct WatchedFile {
  std::string path;
  bool backing = false;  // below one of the roots
};

struct FileCall {
  enum class Kind : std::uint8_t {
    write,
    clear,   // fallocate with a mode that changes contents, ftruncate
    sync,    // fsync and its like
    map,     // shared mapping through which the file may be written
    send,    // to a socket or pipe; [0, end) is how much
    opaque,  // io_uring, AIO, splice: what comes of it cannot be seen
  };
  Kind kind = Kind::opaque;
  int file = -1;  // index into files(); -1: all files, or none
  std::uint64_t begin = 0;
  std::uint64_t end = 0;  // of the file's bytes
  bool durable = false;   // a write that leaves nothing to sync: O_DSYNC, O_DIRECT, RWF_DSYNC
  bool zeroes = false;    // a write of nothing but zeroes
  bool injected = false;  // the outcome is of our making
  int error = 0;
  std::vector<Piece> pieces = {};
  std::string text = {};  // "pwrite64(disk.img, 4096 bytes, offset 0) = 4096"
};

// A fault for the plugin to cope with, on files below the roots only.
enum class FileFault : std::uint8_t {
  none,
  sync_fails,         // EIO from whatever makes data durable
  short_write,        // half of what was to be written, and success
  interrupted_write,  // EINTR, nothing written
  disk_full,          // ENOSPC, nothing written
  short_read,
  interrupted_read,
};

class FileCallWatch {
 public:
  struct Options {
    std::vector<std::string> roots = {};  // directories or files, as realpath(3) gives them
    // Finds known data in a buffer that is written.  Runs on the supervisor's
    // thread while the plugin waits.
    std::function<std::vector<Piece>(std::span<const std::byte>)> recognise = {};
    bool reads = false;  // FileFault for reads is wanted, too
  };

  // The error: why the kernel will not have it, for a person.
  static tl::expected<std::unique_ptr<FileCallWatch>, std::string> start(Options options);
  ~FileCallWatch();
  FileCallWatch(const FileCallWatch&) = delete;
  FileCallWatch& operator=(const FileCallWatch&) = delete;

  // Runs `body` on a new thread: it, and all threads and processes that come
  // from it, are watched for the rest of their lives.  Once.  The error: the
  // filter could not be installed, and `body` did not run.
  tl::expected<void, std::string> run(const std::function<void()>& body);

  // How many calls there are so far: those of a request lie between the marks
  // taken before and after it.
  [[nodiscard]] std::size_t mark() const;
  [[nodiscard]] std::vector<FileCall> calls() const;
  [[nodiscard]] std::vector<WatchedFile> files() const;
  // False: calls went by unseen (the plugin closed our descriptor).
  [[nodiscard]] bool complete() const;

  // From now on the next `times` calls that `fault` concerns meet it.
  void inject(FileFault fault, int times);
  // How many did, since the last inject().
  [[nodiscard]] int injected() const;

  struct State;

 private:
  explicit FileCallWatch(std::shared_ptr<State> state);
  std::shared_ptr<State> state_;
};

}  // namespace nbdcheck
