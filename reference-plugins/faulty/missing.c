/* faulty-missing-*: announces what it has no callback for. MISSING says what. */
#include "fault.h"

#define PWRITE 1
#define TRIM 2
#define FLUSH 3
#define ZERO 4
#define FUA 5
#define EXTENTS 6

const char* const choices[] = {NULL};

#if MISSING == FUA
static int missing_can_fua(void* handle) {
  (void)handle;
  return NBDKIT_FUA_EMULATE; /* by .flush, which is not there */
}
#endif

static struct nbdkit_plugin plugin = {
    .name = MISSING_NAME,
    .version = "0.1.0",
    .unload = disk_unload,
    .config = disk_config,
    .config_help = DISK_CONFIG_HELP,
    .get_ready = disk_get_ready,
    .open = disk_open,
    .get_size = disk_get_size,
    .pread = disk_pread,
#if MISSING == PWRITE
    .can_write = disk_yes,
#else
    .pwrite = disk_pwrite,
#endif
#if MISSING == TRIM
    .can_trim = disk_yes,
#elif MISSING == FLUSH
    .can_flush = disk_yes,
#elif MISSING == ZERO
    .can_zero = disk_yes,
#elif MISSING == EXTENTS
    .can_extents = disk_yes,
#elif MISSING == FUA
    .can_fua = missing_can_fua,
#endif
};
NBDKIT_REGISTER_PLUGIN(plugin)
