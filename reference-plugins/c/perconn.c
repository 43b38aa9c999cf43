/* perconn: every connection gets a fresh disk of its own, gone when it closes.
 *
 *   nbdkit ./perconn.so size=16M
 *
 * Nothing is shared between connections, so multi-conn must not be advertised:
 * a client that spread its requests over several would read back zeroes.
 */
#define NBDKIT_API_VERSION 2
#include <inttypes.h>
#include <nbdkit-plugin.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define THREAD_MODEL NBDKIT_THREAD_MODEL_PARALLEL

static int64_t size = 1024 * 1024; /* size= in bytes */

struct handle {
  pthread_mutex_t lock; /* one connection may have several requests in flight */
  uint8_t* disk;
};

static int perconn_config(const char* key, const char* value) {
  if (strcmp(key, "size") == 0) {
    int64_t n = nbdkit_parse_size(value); /* has said why when it fails */
    if (n == -1) return -1;
    size = n;
    return 0;
  }
  nbdkit_error("unknown parameter '%s'", key);
  return -1;
}

static void* perconn_open(int readonly) {
  (void)readonly;
  struct handle* h = malloc(sizeof *h);
  /* calloc(0) may answer NULL, which would look like a failure. */
  if (h) h->disk = (uint64_t)size <= SIZE_MAX ? calloc((size_t)size + 1, 1) : NULL;
  if (!h || !h->disk) {
    nbdkit_error("cannot allocate a disk of %" PRIi64 " bytes", size);
    free(h);
    return NULL;
  }
  pthread_mutex_init(&h->lock, NULL);
  return h;
}

static void perconn_close(void* handle) {
  struct handle* h = handle;
  pthread_mutex_destroy(&h->lock);
  free(h->disk);
  free(h);
}

static int64_t perconn_get_size(void* handle) {
  (void)handle;
  return size;
}

static int perconn_can_multi_conn(void* handle) {
  (void)handle;
  return 0;
}

static int perconn_pread(void* handle, void* buf, uint32_t count, uint64_t offset, uint32_t flags) {
  struct handle* h = handle;
  (void)flags;
  pthread_mutex_lock(&h->lock);
  memcpy(buf, h->disk + offset, count);
  pthread_mutex_unlock(&h->lock);
  return 0;
}

static int perconn_pwrite(void* handle, const void* buf, uint32_t count, uint64_t offset,
                          uint32_t flags) {
  struct handle* h = handle;
  (void)flags;
  pthread_mutex_lock(&h->lock);
  memcpy(h->disk + offset, buf, count);
  pthread_mutex_unlock(&h->lock);
  return 0;
}

static int perconn_zero(void* handle, uint32_t count, uint64_t offset, uint32_t flags) {
  struct handle* h = handle;
  (void)flags;
  pthread_mutex_lock(&h->lock);
  memset(h->disk + offset, 0, count);
  pthread_mutex_unlock(&h->lock);
  return 0;
}

/* There is nothing to make stable, but clients that ask should not get an error. */
static int perconn_flush(void* handle, uint32_t flags) {
  (void)handle;
  (void)flags;
  return 0;
}

static struct nbdkit_plugin plugin = {
    .name = "perconn",
    .longname = "nbdcheck reference per-connection disk",
    .version = "0.1.0",
    .description = "A fresh disk in memory for every connection",
    .config = perconn_config,
    .config_help = "size=<SIZE>  Size of the disk (default 1M).",
    .magic_config_key = "size",
    .open = perconn_open,
    .close = perconn_close,
    .get_size = perconn_get_size,
    .can_multi_conn = perconn_can_multi_conn,
    .pread = perconn_pread,
    .pwrite = perconn_pwrite,
    .zero = perconn_zero,
    .flush = perconn_flush,
};
NBDKIT_REGISTER_PLUGIN(plugin)
