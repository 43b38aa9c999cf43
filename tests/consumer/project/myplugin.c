/* A plugin as a user of nbdcheck would have it: a RAM disk, small and correct.
 * With -DLOSES it forgets the last byte of every write. */
#define NBDKIT_API_VERSION 2
#include <errno.h>
#include <nbdkit-plugin.h>
#include <stdlib.h>
#include <string.h>

#define THREAD_MODEL NBDKIT_THREAD_MODEL_SERIALIZE_ALL_REQUESTS

static int64_t size = 1 << 20;
static char *disk;

static void my_unload(void) { free(disk); }

static int my_config(const char *key, const char *value) {
  if (strcmp(key, "size") != 0) {
    nbdkit_error("unknown parameter '%s'", key);
    return -1;
  }
  size = nbdkit_parse_size(value);
  return size == -1 ? -1 : 0;
}

static int my_get_ready(void) {
  disk = calloc(1, (size_t)size);
  if (!disk) nbdkit_error("calloc: %m");
  return disk ? 0 : -1;
}

static void *my_open(int readonly) {
  (void)readonly;
  return NBDKIT_HANDLE_NOT_NEEDED;
}

static int64_t my_get_size(void *handle) {
  (void)handle;
  return size;
}

static int my_pread(void *handle, void *buf, uint32_t count, uint64_t offset, uint32_t flags) {
  (void)handle;
  (void)flags;
  memcpy(buf, disk + offset, count);
  return 0;
}

static int my_pwrite(void *handle, const void *buf, uint32_t count, uint64_t offset,
                     uint32_t flags) {
  (void)handle;
  (void)flags;
#ifdef LOSES
  count--;
#endif
  memcpy(disk + offset, buf, count);
  return 0;
}

static struct nbdkit_plugin plugin = {
  .name = "myplugin",
  .version = "1.0",
  .unload = my_unload,
  .config = my_config,
  .config_help = "size=SIZE  size of the disk (default: 1M)",
  .get_ready = my_get_ready,
  .open = my_open,
  .get_size = my_get_size,
  .pread = my_pread,
  .pwrite = my_pwrite,
};

NBDKIT_REGISTER_PLUGIN(plugin)
