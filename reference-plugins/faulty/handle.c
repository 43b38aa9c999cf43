/* faulty-handle: a disk that gets its connections wrong. */
#include "fault.h"

const char* const choices[] = {"second-breaks", "close-frees",   "limit",         "pending",
                               "busy",          "reopen-loses",  "reopen-fails",  "reopen-size",
                               "own-flush",     "private",       "stale-cache",   "close-flushes",
                               "foreign-error", "writer-thread", "once-a-client", NULL};

#define SECTOR UINT64_C(512)
#define MAX_HANDLES 1024

/* A cache of one connection: for "private" its whole disk, for "own-flush" what
 * it has written and not flushed, for "stale-cache" what it once read. */
struct handle {
  unsigned generation;
  bool failed;
  uint8_t* bytes; /* disk_size of them, or NULL */
  bool* cached;   /* per byte */
};

static struct handle* handles[MAX_HANDLES];
static unsigned open_count, opened_in_all, closed_in_all;
static unsigned generation;
static uint64_t last_write;
static bool any_failed;
static _Thread_local bool wrote_here;
static _Thread_local bool connected;
static bool wrote_anywhere;

static struct { /* the fault "pending": one slot for all connections */
  struct handle* owner;
  uint64_t offset;
  uint32_t count;
  uint8_t* bytes;
} pending;

static bool has_cache(void) {
  return fault("own-flush") || fault("private") || fault("stale-cache") || fault("close-flushes");
}

static int allocate_cache(struct handle* h) {
  h->bytes = calloc((size_t)disk_size + 1, 1);
  h->cached = calloc((size_t)disk_size + 1, sizeof *h->cached);
  return h->bytes && h->cached ? 0 : -1;
}

static void free_handle(struct handle* h) {
  free(h->bytes);
  free(h->cached);
  free(h);
}

static int handle_preconnect(int readonly) {
  (void)readonly;
  connected = true;
  return 0;
}

static void* handle_open(int readonly) {
  (void)readonly;
  opened_in_all++;
  if (fault("once-a-client") && !connected) {
    nbdkit_error("this client has been here");
    return NULL;
  }
  connected = false;
  if ((fault("limit") && opened_in_all > 50) || open_count == MAX_HANDLES) {
    nbdkit_error("too many connections");
    return NULL;
  }
  if (fault("busy") && open_count > 0) {
    nbdkit_error("the disk is busy");
    return NULL;
  }
  if (fault("reopen-fails") && closed_in_all > 0) {
    nbdkit_error("the disk has been closed");
    return NULL;
  }
  struct handle* h = calloc(1, sizeof *h);
  if (!h || (has_cache() && allocate_cache(h) == -1)) {
    nbdkit_error("calloc: %m");
    if (h) free_handle(h);
    return NULL;
  }
  h->generation = ++generation;
  for (size_t i = 0; i < MAX_HANDLES; i++) {
    if (handles[i]) continue;
    handles[i] = h;
    break;
  }
  open_count++;
  return h;
}

static void write_back(struct handle* h) {
  for (uint64_t i = 0; i < (uint64_t)disk_size; i++)
    if (h->cached[i]) disk[i] = h->bytes[i];
  memset(h->cached, 0, (size_t)disk_size);
}

static void handle_close(void* handle) {
  struct handle* h = handle;
  /* The fault "close-flushes": nothing else writes back. */
  if (fault("own-flush") || fault("close-flushes")) write_back(h);
  for (size_t i = 0; i < MAX_HANDLES; i++)
    if (handles[i] == h) handles[i] = NULL;
  if (pending.owner == h) {
    memcpy(disk + pending.offset, pending.bytes, pending.count);
    pending.owner = NULL;
  }
  free_handle(h);
  open_count--;
  closed_in_all++;
  /* What freeing the shared buffer would come to, but the same every time. */
  if (fault("close-frees") && open_count > 0) memset(disk, 0xdd, (size_t)disk_size);
  if (fault("reopen-loses"))
    disk_clear(round_down(last_write, SECTOR), round_down(last_write, SECTOR) + SECTOR);
}

static int64_t handle_get_size(void* handle) {
  (void)handle;
  return fault("reopen-size") && closed_in_all > 0 ? disk_size / 2 : disk_size;
}

static int check(const struct handle* h) {
  if (fault("second-breaks") && h->generation != generation)
    return fail(EIO, "this connection was replaced by a newer one");
  if (fault("foreign-error") && any_failed && !h->failed) return fail(EIO, "the disk has failed");
  return 0;
}

/* The fault "pending": a request of another connection drops the write that
 * waits in the slot; one of the same connection carries it out. */
static void settle(const struct handle* h) {
  if (pending.owner == h) memcpy(disk + pending.offset, pending.bytes, pending.count);
  pending.owner = NULL;
}

static int handle_pread(void* handle, void* buf, uint32_t count, uint64_t offset, uint32_t flags) {
  struct handle* h = handle;
  uint8_t* to = buf;
  if (check(h) == -1) return -1;
  settle(h);
  if (fault("writer-thread") && wrote_anywhere && !wrote_here) {
    memset(buf, 0, count);
    return 0;
  }
  if (fault("private")) {
    memcpy(buf, h->bytes + offset, count);
    return 0;
  }
  (void)disk_pread(handle, buf, count, offset, flags);
  if (!has_cache()) return 0;
  for (uint32_t i = 0; i < count; i++) {
    if (h->cached[offset + i]) to[i] = h->bytes[offset + i];
    if (fault("stale-cache")) {
      h->bytes[offset + i] = to[i];
      h->cached[offset + i] = true;
    }
  }
  return 0;
}

static int keep_pending(struct handle* h, const void* buf, uint32_t count, uint64_t offset) {
  uint8_t* bytes = realloc(pending.bytes, count);
  if (!bytes) return fail(ENOMEM, "realloc failed");
  memcpy(bytes, buf, count);
  pending.owner = h;
  pending.offset = offset;
  pending.count = count;
  pending.bytes = bytes;
  return 0;
}

static int handle_pwrite(void* handle, const void* buf, uint32_t count, uint64_t offset,
                         uint32_t flags) {
  struct handle* h = handle;
  if (check(h) == -1) return -1;
  settle(h);
  wrote_here = wrote_anywhere = true;
  last_write = offset;
  if (fault("pending")) return keep_pending(h, buf, count, offset);
  if (has_cache()) {
    memcpy(h->bytes + offset, buf, count);
    memset(h->cached + offset, 1, count);
    if (!fault("stale-cache")) return 0;
  }
  return disk_pwrite(handle, buf, count, offset, flags);
}

static int handle_flush(void* handle, uint32_t flags) {
  struct handle* h = handle;
  (void)flags;
  if (check(h) == -1) return -1;
  settle(h);
  if (fault("own-flush")) write_back(h);
  return 0;
}

static int handle_can_multi_conn(void* handle) {
  (void)handle;
  return !fault("pending");
}

/* A request that fails on one connection: discarding the last page is refused. */
static int handle_trim(void* handle, uint32_t count, uint64_t offset, uint32_t flags) {
  struct handle* h = handle;
  (void)flags;
  if (check(h) == -1) return -1;
  settle(h);
  if (fault("foreign-error") && offset + count > (uint64_t)disk_size - PAGE) {
    any_failed = h->failed = true;
    return fail(EIO, "the last page cannot be trimmed");
  }
  return 0;
}

static void handle_unload(void) {
  free(pending.bytes);
  pending.bytes = NULL;
  disk_unload();
}

static struct nbdkit_plugin plugin = {
    .name = "faulty-handle",
    .version = "0.1.0",
    .unload = handle_unload,
    .config = disk_config,
    .config_help = DISK_CONFIG_HELP,
    .get_ready = disk_get_ready,
    .preconnect = handle_preconnect,
    .open = handle_open,
    .close = handle_close,
    .get_size = handle_get_size,
    .can_multi_conn = handle_can_multi_conn,
    .pread = handle_pread,
    .pwrite = handle_pwrite,
    .flush = handle_flush,
    .trim = handle_trim,
};
NBDKIT_REGISTER_PLUGIN(plugin)
