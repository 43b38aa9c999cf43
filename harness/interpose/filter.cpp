#include "interpose/filter.hpp"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

namespace nbdcheck::interpose {
namespace {

#if defined(__x86_64__)
constexpr std::uint32_t architecture = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr std::uint32_t architecture = AUDIT_ARCH_AARCH64;
#else
constexpr std::uint32_t architecture = 0;  // the layout of its arguments is not known here
#endif

constexpr int calls[] = {SYS_write,           SYS_pwrite64,  SYS_writev,          SYS_pwritev,
                         SYS_pwritev2,        SYS_fallocate, SYS_ftruncate,       SYS_sendfile,
                         SYS_copy_file_range, SYS_splice,    SYS_fsync,           SYS_fdatasync,
                         SYS_syncfs,          SYS_sync,      SYS_sync_file_range, SYS_msync,
                         SYS_io_uring_setup,  SYS_io_submit, SYS_sendto,          SYS_sendmsg,
                         SYS_sendmmsg};
constexpr int read_calls[] = {SYS_read, SYS_pread64, SYS_readv, SYS_preadv, SYS_preadv2};

constexpr std::uint32_t low_half_of_argument(unsigned number) {
  return static_cast<std::uint32_t>(offsetof(seccomp_data, args) + number * sizeof(std::uint64_t)) +
         (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? 0 : 4);
}

class Program {
 public:
  void load(std::uint32_t offset) { add(BPF_LD | BPF_W | BPF_ABS, 0, 0, offset); }
  void skip_unless_equal(std::uint32_t value, std::uint8_t instructions) {
    add(BPF_JMP | BPF_JEQ | BPF_K, 0, instructions, value);
  }
  void skip_unless_set(std::uint32_t bits, std::uint8_t instructions) {
    add(BPF_JMP | BPF_JSET | BPF_K, 0, instructions, bits);
  }
  void skip_if_set(std::uint32_t bits, std::uint8_t instructions) {
    add(BPF_JMP | BPF_JSET | BPF_K, instructions, 0, bits);
  }
  void answer(std::uint32_t action) { add(BPF_RET | BPF_K, 0, 0, action); }

  sock_fprog program() {
    return {static_cast<unsigned short>(instructions_.size()), instructions_.data()};
  }

 private:
  void add(unsigned code, std::uint8_t yes, std::uint8_t no, std::uint32_t value) {
    instructions_.push_back({static_cast<std::uint16_t>(code), yes, no, value});
  }
  std::vector<sock_filter> instructions_;
};

Program make(bool reads) {
  Program program;
  program.load(offsetof(seccomp_data, arch));
  program.skip_unless_equal(architecture, 1);
  program.load(offsetof(seccomp_data, nr));  // else: the number of an architecture is no call's
  const auto hand_over = [&](int call) {
    program.skip_unless_equal(static_cast<std::uint32_t>(call), 1);
    program.answer(SECCOMP_RET_USER_NOTIF);
  };
  for (const int call : calls) hand_over(call);
  if (reads)
    for (const int call : read_calls) hand_over(call);
  // Shared mappings of files only: malloc maps, too, and with a lock held that
  // the supervisor may need.
  program.skip_unless_equal(SYS_mmap, 4);
  program.load(low_half_of_argument(3));
  program.skip_unless_set(MAP_SHARED, 2);
  program.skip_if_set(MAP_ANONYMOUS, 1);
  program.answer(SECCOMP_RET_USER_NOTIF);
  program.answer(SECCOMP_RET_ALLOW);
  return program;
}

}  // namespace

tl::expected<int, std::string> install_filter(bool reads) {
  if (architecture == 0) return tl::unexpected(std::string("not on this architecture"));
  // Else only root could; and a setuid program must not run filtered.
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
    return tl::unexpected(std::string("no_new_privs: ") + std::strerror(errno));
  Program program = make(reads);
  const sock_fprog filter = program.program();
  // Without WAIT_KILLABLE_RECV (Linux 5.19) a signal, such as those that the Go
  // runtime sends itself, would have a call restarted that was carried out.
  constexpr unsigned long flags =
      SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
  const long fd = ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &filter);
  if (fd < 0)
    return tl::unexpected(std::string("seccomp user notification: ") + std::strerror(errno) +
                          (errno == EINVAL ? " (Linux 5.19 has it)" : ""));
  return static_cast<int>(fd);
}

}  // namespace nbdcheck::interpose
