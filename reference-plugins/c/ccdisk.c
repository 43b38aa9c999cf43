/* A RAM disk for nbdkit-cc-plugin(3): size=SIZE. */
#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#include <stdlib.h>
#include <string.h>

static int64_t size = 1 << 20;
static char *disk;

#define THREAD_MODEL NBDKIT_THREAD_MODEL_SERIALIZE_ALL_REQUESTS

static int
cc_disk_config (const char *key, const char *value)
{
  if (strcmp (key, "size") != 0) {
    nbdkit_error ("unknown parameter '%s'", key);
    return -1;
  }
  size = nbdkit_parse_size (value);
  return size == -1 ? -1 : 0;
}

static int
cc_disk_get_ready (void)
{
  disk = calloc (1, size == 0 ? 1 : size);
  if (disk == NULL)
    nbdkit_error ("calloc: %m");
  return disk == NULL ? -1 : 0;
}

static void
cc_disk_unload (void)
{
  free (disk);
}

static void *
cc_disk_open (int readonly)
{
  return NBDKIT_HANDLE_NOT_NEEDED;
}

static int64_t
cc_disk_get_size (void *handle)
{
  return size;
}

static int
cc_disk_can_multi_conn (void *handle)
{
  return 1;
}

static int
cc_disk_pread (void *handle, void *buf, uint32_t count, uint64_t offset, uint32_t flags)
{
  memcpy (buf, disk + offset, count);
  return 0;
}

static int
cc_disk_pwrite (void *handle, const void *buf, uint32_t count, uint64_t offset, uint32_t flags)
{
  memcpy (disk + offset, buf, count);
  return 0;
}

static int
cc_disk_zero (void *handle, uint32_t count, uint64_t offset, uint32_t flags)
{
  memset (disk + offset, 0, count);
  return 0;
}

static int
cc_disk_flush (void *handle, uint32_t flags)
{
  return 0;
}

static struct nbdkit_plugin plugin = {
  .name = "cc-disk",
  .config = cc_disk_config,
  .get_ready = cc_disk_get_ready,
  .unload = cc_disk_unload,
  .open = cc_disk_open,
  .get_size = cc_disk_get_size,
  .can_multi_conn = cc_disk_can_multi_conn,
  .pread = cc_disk_pread,
  .pwrite = cc_disk_pwrite,
  .zero = cc_disk_zero,
  .flush = cc_disk_flush,
};

NBDKIT_REGISTER_PLUGIN (plugin)
