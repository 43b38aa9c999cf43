/* legal-trim: what may become of trimmed bytes, which is anything at all until
 * they are written or zeroed: trim is a hint and promises nothing.
 *
 *   plain     zeroes
 *   nothing   the old bytes
 *   pages     zeroes in whole pages, the old bytes at the ends
 *   noise     some other bytes, always the same
 *   garbage   other bytes at every read
 */
#include "mode.h"

const char* const choices[] = {"nothing", "pages", "noise", "garbage", NULL};

static bool* trimmed; /* per byte, for "garbage" */
static unsigned reads;

static int trim_get_ready(void) {
  if (disk_get_ready() == -1) return -1;
  trimmed = calloc((size_t)disk_size + 1, sizeof *trimmed);
  if (trimmed) return 0;
  nbdkit_error("calloc: %m");
  return -1;
}

static void trim_unload(void) {
  free(trimmed);
  trimmed = NULL;
  disk_unload();
}

static int trim_pread(void* handle, void* buf, uint32_t count, uint64_t offset, uint32_t flags) {
  uint8_t* to = buf;
  (void)handle;
  (void)flags;
  disk_lock();
  reads++;
  memcpy(buf, disk + offset, count);
  for (uint32_t i = 0; i < count; i++)
    if (trimmed[offset + i]) to[i] = (uint8_t)(reads * 37 + i);
  disk_unlock();
  return 0;
}

static int trim_pwrite(void* handle, const void* buf, uint32_t count, uint64_t offset,
                       uint32_t flags) {
  (void)handle;
  (void)flags;
  disk_lock();
  memcpy(disk + offset, buf, count);
  memset(trimmed + offset, 0, count);
  disk_unlock();
  return 0;
}

/* Whatever the flags say, these are zeroes to be read as zeroes. */
static int trim_zero(void* handle, uint32_t count, uint64_t offset, uint32_t flags) {
  (void)handle;
  (void)flags;
  disk_lock();
  memset(disk + offset, 0, count);
  memset(trimmed + offset, 0, count);
  disk_unlock();
  return 0;
}

static int trim_trim(void* handle, uint32_t count, uint64_t offset, uint32_t flags) {
  (void)handle;
  (void)flags;
  disk_lock();
  if (mode("plain")) disk_clear(offset, offset + count);
  if (mode("pages")) disk_clear(round_up(offset, PAGE), round_down(offset + count, PAGE));
  if (mode("noise"))
    for (uint32_t i = 0; i < count; i++) disk[offset + i] = (uint8_t)((offset + i) * 151 + 11);
  if (mode("garbage")) memset(trimmed + offset, 1, count);
  disk_unlock();
  return 0;
}

static struct nbdkit_plugin plugin = {
    .name = "legal-trim",
    .version = "0.1.0",
    .unload = trim_unload,
    .config = disk_config,
    .config_help = DISK_CONFIG_HELP,
    .get_ready = trim_get_ready,
    .open = disk_open,
    .get_size = disk_get_size,
    .can_multi_conn = disk_yes,
    .pread = trim_pread,
    .pwrite = trim_pwrite,
    .flush = disk_flush,
    .trim = trim_trim,
    .zero = trim_zero,
};
NBDKIT_REGISTER_PLUGIN(plugin)
