/* A plugin that is linked into the test program.  Its .pwrite fails on the last
 * sector, and says so. */
#define NBDKIT_API_VERSION 2
#include <errno.h>
#include <nbdkit-plugin.h>
#include <string.h>

#define DISK_SIZE 65536

static char disk[DISK_SIZE];

static int linked_config(const char* key, const char* value) {
  nbdkit_error("no parameter %s (%s) here", key, value);
  return -1;
}

static void* linked_open(int readonly) {
  (void)readonly;
  return NBDKIT_HANDLE_NOT_NEEDED;
}

static int64_t linked_get_size(void* handle) {
  (void)handle;
  return DISK_SIZE;
}

static int linked_pread(void* handle, void* buf, uint32_t count, uint64_t offset, uint32_t flags) {
  (void)handle;
  (void)flags;
  memcpy(buf, disk + offset, count);
  return 0;
}

static int linked_pwrite(void* handle, const void* buf, uint32_t count, uint64_t offset,
                         uint32_t flags) {
  (void)handle;
  (void)flags;
  if (offset + count > DISK_SIZE - 512) {
    nbdkit_error("the last sector is not for writing");
    nbdkit_set_error(ENOSPC);
    return -1;
  }
  memcpy(disk + offset, buf, count);
  return 0;
}

struct nbdkit_plugin linked_plugin = {
    .name = "linked",
    .config = linked_config,
    .open = linked_open,
    .get_size = linked_get_size,
    .pread = linked_pread,
    .pwrite = linked_pwrite,
};
