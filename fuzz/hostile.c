/* A plugin that turns on whoever drives it, in its first read: fault=NAME.
 *
 * It is not among the faulty plugins, as what it does is no fault of a request
 * but one of the process, and worse than those nbdcheck has rules for.
 */
#include <fcntl.h>
#include <unistd.h>

#include "../reference-plugins/faulty/fault.h"

const char* const choices[] = {
    "fork", "close-standard", "replace-output", "close-own", "close-all", "allocate", NULL};

/* Far more than the limit of who runs one input, though not without end: without
 * that limit the machine is to live. */
static void allocate(void) {
  for (int i = 0; i < 512; i++) {
    uint8_t* some = malloc(16 << 20);
    memset(some, 1, 1); /* few look at what malloc returns */
  }
}

static void close_range_of(int first, int last) {
  for (int fd = first; fd <= last; fd++) close(fd);
}

static int hostile_pread(void* handle, void* buf, uint32_t count, uint64_t offset, uint32_t flags) {
  static bool done;
  if (!done) {
    done = true;
    if (fault("fork") && fork() == -1) return fail(EIO, "no more processes");
    if (fault("close-standard")) close_range_of(0, 2);
    if (fault("close-own")) close_range_of(3, 1023);
    if (fault("close-all")) close_range_of(0, 1023);
    if (fault("replace-output")) dup2(open("/dev/null", O_WRONLY), 1);
    if (fault("allocate")) allocate();
  }
  return disk_pread(handle, buf, count, offset, flags);
}

static struct nbdkit_plugin plugin = {
    .name = "fuzz-hostile",
    .version = "0.1.0",
    .unload = disk_unload,
    .config = disk_config,
    .config_help = DISK_CONFIG_HELP,
    .get_ready = disk_get_ready,
    .open = disk_open,
    .get_size = disk_get_size,
    .pread = hostile_pread,
    .pwrite = disk_pwrite,
};
NBDKIT_REGISTER_PLUGIN(plugin)
