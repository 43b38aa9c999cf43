/* legal-caching: each connection has a cache of its own.
 *
 *   plain   what a connection writes is kept there until .flush or .close; other
 *           connections may not see it before. So no multi-conn.
 *   lossy   the same, but .close drops what was not flushed, as a power cut would
 *   read    writes go through at once, but what a connection has read or written
 *           it keeps reading, until a flush on any connection. That is just what
 *           multi-conn demands (NBD protocol, NBD_FLAG_CAN_MULTI_CONN), no more.
 */
#include "mode.h"

const char* const choices[] = {"lossy", "read", NULL};

struct handle {
  uint8_t* bytes; /* the size of the disk; only what `cached` says counts */
  bool* cached;   /* per byte, so that writing back never touches a neighbour */
  uint64_t epoch; /* of the flush the cache is newer than */
};

static uint64_t epoch; /* counts flushes, on whatever connection */

static void free_handle(struct handle* h) {
  free(h->bytes);
  free(h->cached);
  free(h);
}

static void* caching_open(int readonly) {
  (void)readonly;
  struct handle* h = calloc(1, sizeof *h);
  if (h) h->bytes = calloc((size_t)disk_size + 1, 1);
  if (h) h->cached = calloc((size_t)disk_size + 1, sizeof *h->cached);
  if (!h || !h->bytes || !h->cached) {
    nbdkit_error("calloc: %m");
    if (h) free_handle(h);
    return NULL;
  }
  return h;
}

static void write_back(struct handle* h) {
  for (uint64_t i = 0; i < (uint64_t)disk_size; i++)
    if (h->cached[i]) disk[i] = h->bytes[i];
  memset(h->cached, 0, (size_t)disk_size);
}

static void caching_close(void* handle) {
  struct handle* h = handle;
  disk_lock();
  if (mode("plain")) write_back(h);
  disk_unlock();
  free_handle(h);
}

static int caching_can_multi_conn(void* handle) {
  (void)handle;
  return mode("read");
}

/* Drop a read cache that is older than the last flush. */
static void refresh(struct handle* h) {
  if (!mode("read") || h->epoch == epoch) return;
  memset(h->cached, 0, (size_t)disk_size);
  h->epoch = epoch;
}

static int caching_pread(void* handle, void* buf, uint32_t count, uint64_t offset, uint32_t flags) {
  struct handle* h = handle;
  uint8_t* to = buf;
  (void)flags;
  disk_lock();
  refresh(h);
  for (uint32_t i = 0; i < count; i++)
    to[i] = h->cached[offset + i] ? h->bytes[offset + i] : disk[offset + i];
  if (mode("read")) {
    memcpy(h->bytes + offset, buf, count);
    memset(h->cached + offset, 1, count);
  }
  disk_unlock();
  return 0;
}

static int caching_pwrite(void* handle, const void* buf, uint32_t count, uint64_t offset,
                          uint32_t flags) {
  struct handle* h = handle;
  (void)flags;
  disk_lock();
  refresh(h);
  memcpy(h->bytes + offset, buf, count);
  memset(h->cached + offset, 1, count);
  if (mode("read")) memcpy(disk + offset, buf, count);
  disk_unlock();
  return 0;
}

static int caching_flush(void* handle, uint32_t flags) {
  struct handle* h = handle;
  (void)flags;
  disk_lock();
  if (mode("read"))
    epoch++;
  else
    write_back(h);
  disk_unlock();
  return 0;
}

static struct nbdkit_plugin plugin = {
    .name = "legal-caching",
    .version = "0.1.0",
    .unload = disk_unload,
    .config = disk_config,
    .config_help = DISK_CONFIG_HELP,
    .get_ready = disk_get_ready,
    .open = caching_open,
    .close = caching_close,
    .get_size = disk_get_size,
    .can_multi_conn = caching_can_multi_conn,
    .pread = caching_pread,
    .pwrite = caching_pwrite,
    .flush = caching_flush,
};
NBDKIT_REGISTER_PLUGIN(plugin)
