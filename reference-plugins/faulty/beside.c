/* faulty-beside: goes wrong only in the surroundings of the real server. */
#define _GNU_SOURCE /* program_invocation_short_name */
#include "fault.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

const char* const choices[] = {"aborts", "leaves", NULL};

/* Stands for all that a plugin may take for granted of its host: what it exports, which
 * descriptors are open, which threads there are. */
static bool in_nbdkit(void) { return strstr(program_invocation_short_name, "nbdkit") != NULL; }

static int beside_pwrite(void* handle, const void* buf, uint32_t count, uint64_t offset,
                         uint32_t flags) {
  if (in_nbdkit() && count % 2 != 0) {
    if (fault("aborts")) abort();
    if (fault("leaves")) exit(3);
  }
  return disk_pwrite(handle, buf, count, offset, flags);
}

static struct nbdkit_plugin plugin = {
    .name = "faulty-beside",
    .version = "0.1.0",
    .unload = disk_unload,
    .config = disk_config,
    .config_help = DISK_CONFIG_HELP,
    .get_ready = disk_get_ready,
    .open = disk_open,
    .get_size = disk_get_size,
    .pread = disk_pread,
    .pwrite = beside_pwrite,
};

NBDKIT_REGISTER_PLUGIN(plugin)
