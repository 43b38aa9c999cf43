/* legal-slow: each request takes between 2 and 20 milliseconds. */
#include "mode.h"

#include <stdatomic.h>

const char* const choices[] = {NULL};

static atomic_uint requests;

/* Not nanosleep(2): nbdkit's ends early when the server or the client leaves. */
static int dawdle(void) {
  unsigned milliseconds = 2 + atomic_fetch_add(&requests, 1) * 7 % 19;
  if (nbdkit_nanosleep(0, milliseconds * 1000000) == 0) return 0;
  int error = errno;
  nbdkit_error("interrupted: %m");
  nbdkit_set_error(error);
  return -1;
}

static int slow_pread(void* handle, void* buf, uint32_t count, uint64_t offset, uint32_t flags) {
  if (dawdle() == -1) return -1;
  return disk_pread(handle, buf, count, offset, flags);
}

static int slow_pwrite(void* handle, const void* buf, uint32_t count, uint64_t offset,
                       uint32_t flags) {
  if (dawdle() == -1) return -1;
  return disk_pwrite(handle, buf, count, offset, flags);
}

static int slow_zero(void* handle, uint32_t count, uint64_t offset, uint32_t flags) {
  if (dawdle() == -1) return -1;
  return disk_zero(handle, count, offset, flags);
}

static int slow_flush(void* handle, uint32_t flags) {
  (void)handle;
  (void)flags;
  return dawdle();
}

static struct nbdkit_plugin plugin = {
    .name = "legal-slow",
    .version = "0.1.0",
    .unload = disk_unload,
    .config = disk_config,
    .config_help = DISK_CONFIG_HELP,
    .get_ready = disk_get_ready,
    .open = disk_open,
    .get_size = disk_get_size,
    .can_multi_conn = disk_yes,
    .pread = slow_pread,
    .pwrite = slow_pwrite,
    .flush = slow_flush,
    .trim = slow_zero,
    .zero = slow_zero,
};
NBDKIT_REGISTER_PLUGIN(plugin)
