#include "interpose/call_name.hpp"

#include <sys/syscall.h>

namespace nbdcheck::interpose {
namespace {

struct Name {
  int number;
  const char* name;  // as libc has it
};
constexpr Name names[] = {{SYS_write, "write"},
                          {SYS_pwrite64, "pwrite"},
                          {SYS_writev, "writev"},
                          {SYS_pwritev, "pwritev"},
                          {SYS_pwritev2, "pwritev2"},
                          {SYS_read, "read"},
                          {SYS_pread64, "pread"},
                          {SYS_readv, "readv"},
                          {SYS_preadv, "preadv"},
                          {SYS_preadv2, "preadv2"},
                          {SYS_fallocate, "fallocate"},
                          {SYS_ftruncate, "ftruncate"},
                          {SYS_sendfile, "sendfile"},
                          {SYS_copy_file_range, "copy_file_range"},
                          {SYS_splice, "splice"},
                          {SYS_fsync, "fsync"},
                          {SYS_fdatasync, "fdatasync"},
                          {SYS_syncfs, "syncfs"},
                          {SYS_sync, "sync"},
                          {SYS_sync_file_range, "sync_file_range"},
                          {SYS_msync, "msync"},
                          {SYS_mmap, "mmap"},
                          {SYS_io_uring_setup, "io_uring_setup"},
                          {SYS_io_submit, "io_submit"}};

}  // namespace

const char* call_name(int number) {
  for (const Name& call : names)
    if (call.number == number) return call.name;
  return "?";
}

}  // namespace nbdcheck::interpose
