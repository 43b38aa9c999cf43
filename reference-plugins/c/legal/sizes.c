/* legal-sizes: a read-only disk of any size, 0 to 2^63-1; no byte is stored.
 * Each 8-byte word holds its own offset, so that all of it can be checked.
 */
#define NBDKIT_API_VERSION 2
#include <inttypes.h>
#include <nbdkit-plugin.h>
#include <stdint.h>
#include <string.h>

#define THREAD_MODEL NBDKIT_THREAD_MODEL_PARALLEL

static int64_t size = 0; /* size= in bytes */

static int sizes_config(const char* key, const char* value) {
  if (strcmp(key, "size") == 0) {
    int64_t n = nbdkit_parse_size(value);
    if (n == -1) return -1;
    size = n;
    return 0;
  }
  nbdkit_error("unknown parameter '%s'", key);
  return -1;
}

static void* sizes_open(int readonly) {
  (void)readonly; /* there is no .pwrite: it is always read-only */
  return NBDKIT_HANDLE_NOT_NEEDED;
}

static int64_t sizes_get_size(void* handle) {
  (void)handle;
  return size;
}

static int sizes_can_multi_conn(void* handle) {
  (void)handle;
  return 1;
}

static int sizes_pread(void* handle, void* buf, uint32_t count, uint64_t offset, uint32_t flags) {
  uint8_t* to = buf;
  (void)handle;
  (void)flags;
  for (uint32_t i = 0; i < count; i++) {
    uint64_t at = offset + i, word = at & ~UINT64_C(7);
    to[i] = (uint8_t)(word >> (8 * (at & 7)));
  }
  return 0;
}

static struct nbdkit_plugin plugin = {
    .name = "legal-sizes",
    .version = "0.1.0",
    .config = sizes_config,
    .config_help = "size=<SIZE>  Size of the disk (default 0).",
    .magic_config_key = "size",
    .open = sizes_open,
    .get_size = sizes_get_size,
    .can_multi_conn = sizes_can_multi_conn,
    .pread = sizes_pread,
};
NBDKIT_REGISTER_PLUGIN(plugin)
