/* legal-stack: what a language's runtime does with stacks and signals of its own.
 * nbdkit gives every connection a thread with the stack that the limit of the
 * process allows, and takes no interest in SIGSEGV. So may a plugin use most of
 * that stack, and so may it let pages fault to learn which were written.
 */
#define _GNU_SOURCE
#include "mode.h"

#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <ucontext.h>
#include <unistd.h>

const char* const choices[] = {"deep", "barrier", "alternate", NULL};

static _Atomic uint64_t dirtied; /* pages that were written at least once */
static struct sigaction before;

/* Three quarters of a thread's stack, every page of it in use at once. */
static __attribute__((noinline)) unsigned dig(size_t bytes) {
  volatile uint8_t room[16384];
  for (size_t i = 0; i < sizeof room; i += 1024) room[i] = (uint8_t)i;
  unsigned deeper = bytes > sizeof room ? dig(bytes - sizeof room) : 0;
  return deeper + room[1024];
}

static void use_the_stack(void) {
  struct rlimit limit;
  if (!mode("deep") || getrlimit(RLIMIT_STACK, &limit) == -1) return;
  if (limit.rlim_cur == RLIM_INFINITY || limit.rlim_cur > 8 << 20) limit.rlim_cur = 2 << 20;
  if (dig(limit.rlim_cur / 4 * 3) == 1) nbdkit_debug("never");
}

static bool guarded(void) { return mode("barrier") || mode("alternate"); }

/* The first write to a page of ours; anything else is somebody else's fault. */
static void on_fault(int number, siginfo_t* info, void* context) {
  uintptr_t at = (uintptr_t)info->si_addr, from = (uintptr_t)disk;
  if (at >= from && at < from + (uint64_t)disk_size) {
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    mprotect((void*)(at & ~(page - 1)), page, PROT_READ | PROT_WRITE);
    atomic_fetch_add(&dirtied, 1);
    return;
  }
  if (before.sa_flags & SA_SIGINFO) {
    before.sa_sigaction(number, info, context);
  } else if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN) {
    before.sa_handler(number);
  } else {
    sigaction(number, &before, NULL); /* and fault again */
  }
}

static int stack_get_ready(void) {
  use_the_stack();
  if (disk_get_ready() == -1) return -1;
  if (!guarded()) return 0;
  struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
  if (mode("alternate")) action.sa_flags |= SA_ONSTACK;
  sigemptyset(&action.sa_mask);
  if (sigaction(SIGSEGV, &action, &before) == -1 ||
      mprotect(disk, (size_t)disk_size, PROT_READ) == -1) {
    nbdkit_error("cannot watch the disk: %m");
    return -1;
  }
  return 0;
}

static void* stack_open(int readonly) {
  (void)readonly;
  use_the_stack();
  return NBDKIT_HANDLE_NOT_NEEDED;
}

static void stack_close(void* handle) {
  (void)handle;
  use_the_stack();
}

static int stack_pread(void* handle, void* buf, uint32_t count, uint64_t offset, uint32_t flags) {
  use_the_stack();
  return disk_pread(handle, buf, count, offset, flags);
}

static int stack_pwrite(void* handle, const void* buf, uint32_t count, uint64_t offset,
                        uint32_t flags) {
  use_the_stack();
  return disk_pwrite(handle, buf, count, offset, flags);
}

static int stack_flush(void* handle, uint32_t flags) {
  use_the_stack();
  return disk_flush(handle, flags);
}

static void stack_unload(void) {
  if (guarded() && disk) {
    nbdkit_debug("%" PRIu64 " pages were written", atomic_load(&dirtied));
    sigaction(SIGSEGV, &before, NULL);
  }
  disk_unload();
}

static struct nbdkit_plugin plugin = {
    .name = "legal-stack",
    .version = "0.1.0",
    .unload = stack_unload,
    .config = disk_config,
    .config_help = DISK_CONFIG_HELP,
    .get_ready = stack_get_ready,
    .open = stack_open,
    .close = stack_close,
    .get_size = disk_get_size,
    .can_multi_conn = disk_yes,
    .pread = stack_pread,
    .pwrite = stack_pwrite,
    .flush = stack_flush,
};
NBDKIT_REGISTER_PLUGIN(plugin)
