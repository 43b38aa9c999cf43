/* legal-overlap: aborts when calls overlap that its thread model, mode=, keeps
 * apart.
 */
#include "mode.h"

#include <stdatomic.h>

const char* const choices[] = {"connections", "all-requests", "requests", NULL};

struct handle {
  atomic_int inside;
};

static atomic_int inside_all;
static atomic_int handles;

static int overlap_thread_model(void) {
  if (mode("connections")) return NBDKIT_THREAD_MODEL_SERIALIZE_CONNECTIONS;
  if (mode("all-requests")) return NBDKIT_THREAD_MODEL_SERIALIZE_ALL_REQUESTS;
  if (mode("requests")) return NBDKIT_THREAD_MODEL_SERIALIZE_REQUESTS;
  return NBDKIT_THREAD_MODEL_PARALLEL;
}

static void must(bool holds) {
  if (holds) return;
  nbdkit_error("calls overlap that the thread model keeps apart");
  abort();
}

static void enter(struct handle* h) {
  bool alone = mode("connections") || mode("all-requests");
  int all = atomic_fetch_add(&inside_all, 1);
  must(!alone || all == 0);
  if (h) {
    int mine = atomic_fetch_add(&h->inside, 1);
    must(mode("plain") || mine == 0);
  }
}

static void leave(struct handle* h) {
  if (h) atomic_fetch_sub(&h->inside, 1);
  atomic_fetch_sub(&inside_all, 1);
}

static void* overlap_open(int readonly) {
  (void)readonly;
  enter(NULL);
  int before = atomic_fetch_add(&handles, 1);
  must(!mode("connections") || before == 0);
  struct handle* h = calloc(1, sizeof *h);
  if (!h) nbdkit_error("calloc: %m");
  leave(NULL);
  return h;
}

static void overlap_close(void* handle) {
  struct handle* h = handle;
  /* No call on it is under way, whatever the model. */
  must(atomic_load(&h->inside) == 0);
  enter(NULL);
  atomic_fetch_sub(&handles, 1);
  leave(NULL);
  free(h);
}

static int64_t overlap_get_size(void* handle) {
  enter(handle);
  leave(handle);
  return disk_size;
}

static int overlap_pread(void* handle, void* buf, uint32_t count, uint64_t offset, uint32_t flags) {
  enter(handle);
  int r = disk_pread(handle, buf, count, offset, flags);
  leave(handle);
  return r;
}

static int overlap_pwrite(void* handle, const void* buf, uint32_t count, uint64_t offset,
                          uint32_t flags) {
  enter(handle);
  int r = disk_pwrite(handle, buf, count, offset, flags);
  leave(handle);
  return r;
}

static int overlap_flush(void* handle, uint32_t flags) {
  enter(handle);
  int r = disk_flush(handle, flags);
  leave(handle);
  return r;
}

static int overlap_zero(void* handle, uint32_t count, uint64_t offset, uint32_t flags) {
  enter(handle);
  int r = disk_zero(handle, count, offset, flags);
  leave(handle);
  return r;
}

static struct nbdkit_plugin plugin = {
    .name = "legal-overlap",
    .version = "1",
    .description = "a disk that aborts when calls overlap that its thread model keeps apart",
    .config = disk_config,
    .config_help = DISK_CONFIG_HELP,
    .thread_model = overlap_thread_model,
    .get_ready = disk_get_ready,
    .unload = disk_unload,
    .open = overlap_open,
    .close = overlap_close,
    .get_size = overlap_get_size,
    .can_multi_conn = disk_yes,
    .pread = overlap_pread,
    .pwrite = overlap_pwrite,
    .flush = overlap_flush,
    .zero = overlap_zero,
    .trim = overlap_zero,
    .errno_is_preserved = 1,
};

NBDKIT_REGISTER_PLUGIN(plugin)
