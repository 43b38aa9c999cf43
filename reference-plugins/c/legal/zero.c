/* legal-zero: all the ways in which .zero may say no (nbdkit-plugin(3) ".zero").
 *
 *   never         always EOPNOTSUPP: nbdkit writes zeroes instead
 *   never-enotsup the same with ENOTSUP
 *   late          EOPNOTSUPP after half the work: what was done is what was asked
 *   fast-never    zeroes, but has no fast way
 *   fast-aligned  a fast way for whole pages only
 *   off           .can_zero says no although .zero is there
 */
#include "mode.h"

const char* const choices[] = {"never",        "never-enotsup", "late", "fast-never",
                               "fast-aligned", "off",           NULL};

/* "Not this way": no message, for this is an answer and not an error. */
static int decline(int error) {
  nbdkit_set_error(error);
  return -1;
}

static int zero_zero(void* handle, uint32_t count, uint64_t offset, uint32_t flags) {
  bool fast = (flags & NBDKIT_FLAG_FAST_ZERO) != 0;
  if (mode("never")) return decline(EOPNOTSUPP);
  if (mode("never-enotsup")) return decline(ENOTSUP);
  if (mode("late")) {
    (void)disk_zero(handle, (count + 1) / 2, offset, flags);
    return decline(EOPNOTSUPP);
  }
  if (mode("fast-never") && fast) return decline(ENOTSUP);
  if (mode("fast-aligned") && fast && (offset | count) % PAGE != 0) return decline(ENOTSUP);
  return disk_zero(handle, count, offset, flags);
}

static int zero_can_zero(void* handle) {
  (void)handle;
  return !mode("off");
}

/* A fast zero that fails should leave the disk alone: not so when it fails late. */
static int zero_can_fast_zero(void* handle) {
  (void)handle;
  return !mode("late");
}

static struct nbdkit_plugin plugin = {
    .name = "legal-zero",
    .version = "0.1.0",
    .unload = disk_unload,
    .config = disk_config,
    .config_help = DISK_CONFIG_HELP,
    .get_ready = disk_get_ready,
    .open = disk_open,
    .get_size = disk_get_size,
    .can_zero = zero_can_zero,
    .can_fast_zero = zero_can_fast_zero,
    .can_multi_conn = disk_yes,
    .pread = disk_pread,
    .pwrite = disk_pwrite,
    .flush = disk_flush,
    .zero = zero_zero,
};
NBDKIT_REGISTER_PLUGIN(plugin)
