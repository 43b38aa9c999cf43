/* legal-oldapi: a plugin written for version 1 of the API, as all were before
 * nbdkit 1.4: no flags, and .zero has a may_trim argument. It still has to work.
 */
#define NBDKIT_API_VERSION 1
#include <inttypes.h>
#include <nbdkit-plugin.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define THREAD_MODEL NBDKIT_THREAD_MODEL_SERIALIZE_ALL_REQUESTS

static int64_t size = 1024 * 1024; /* size= in bytes */
static uint8_t* disk;

static int oldapi_config(const char* key, const char* value) {
  if (strcmp(key, "size") == 0) {
    int64_t n = nbdkit_parse_size(value);
    if (n == -1) return -1;
    size = n;
    return 0;
  }
  nbdkit_error("unknown parameter '%s'", key);
  return -1;
}

static int oldapi_config_complete(void) {
  /* One byte more: calloc(0) may answer NULL. */
  disk = (uint64_t)size < SIZE_MAX ? calloc((size_t)size + 1, 1) : NULL;
  if (disk) return 0;
  nbdkit_error("cannot allocate %" PRIi64 " bytes", size);
  return -1;
}

static void oldapi_unload(void) {
  free(disk);
  disk = NULL;
}

static void* oldapi_open(int readonly) {
  (void)readonly;
  return NBDKIT_HANDLE_NOT_NEEDED;
}

static int64_t oldapi_get_size(void* handle) {
  (void)handle;
  return size;
}

static int oldapi_pread(void* handle, void* buf, uint32_t count, uint64_t offset) {
  (void)handle;
  memcpy(buf, disk + offset, count);
  return 0;
}

static int oldapi_pwrite(void* handle, const void* buf, uint32_t count, uint64_t offset) {
  (void)handle;
  memcpy(disk + offset, buf, count);
  return 0;
}

static int oldapi_flush(void* handle) {
  (void)handle;
  return 0;
}

static int oldapi_trim(void* handle, uint32_t count, uint64_t offset) {
  (void)handle;
  memset(disk + offset, 0, count);
  return 0;
}

static int oldapi_zero(void* handle, uint32_t count, uint64_t offset, int may_trim) {
  (void)handle;
  (void)may_trim;
  memset(disk + offset, 0, count);
  return 0;
}

static struct nbdkit_plugin plugin = {
    .name = "legal-oldapi",
    .version = "0.1.0",
    .unload = oldapi_unload,
    .config = oldapi_config,
    .config_complete = oldapi_config_complete,
    .config_help = "size=<SIZE>  Size of the disk (default 1M).",
    .open = oldapi_open,
    .get_size = oldapi_get_size,
    .pread = oldapi_pread,
    .pwrite = oldapi_pwrite,
    .flush = oldapi_flush,
    .trim = oldapi_trim,
    .zero = oldapi_zero,
};
NBDKIT_REGISTER_PLUGIN(plugin)
