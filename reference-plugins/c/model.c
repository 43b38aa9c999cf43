/* model-*: the least a writable plugin needs, once per thread model.
 *
 *   nbdkit ./model-parallel.so size=16M
 *
 * MODEL is one of the NBDKIT_THREAD_MODEL_* values and MODEL_NAME the plugin's
 * name; the build defines both. What changes from model to model is only
 * whether the plugin must lock for itself (nbdkit-plugin(3) "Threads").
 */
#define NBDKIT_API_VERSION 2
#include <inttypes.h>
#include <nbdkit-plugin.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define THREAD_MODEL MODEL

/* SERIALIZE_REQUESTS keeps one connection's requests apart, not those of two. */
#define NEEDS_LOCK (MODEL >= NBDKIT_THREAD_MODEL_SERIALIZE_REQUESTS)

static int64_t size = 1024 * 1024; /* size= in bytes */
static uint8_t* disk;

#if NEEDS_LOCK
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static void lock(void) { pthread_mutex_lock(&mutex); }
static void unlock(void) { pthread_mutex_unlock(&mutex); }
#else
static void lock(void) {}
static void unlock(void) {}
#endif

static void model_unload(void) {
  free(disk);
  disk = NULL;
}

static int model_config(const char* key, const char* value) {
  if (strcmp(key, "size") == 0) {
    int64_t n = nbdkit_parse_size(value); /* has said why when it fails */
    if (n == -1) return -1;
    size = n;
    return 0;
  }
  nbdkit_error("unknown parameter '%s'", key);
  return -1;
}

static int model_get_ready(void) {
  /* One byte more: calloc(0) may answer NULL. */
  disk = (uint64_t)size < SIZE_MAX ? calloc((size_t)size + 1, 1) : NULL;
  if (!disk) {
    nbdkit_error("cannot allocate %" PRIi64 " bytes", size);
    return -1;
  }
  return 0;
}

static void* model_open(int readonly) {
  (void)readonly;
  return NBDKIT_HANDLE_NOT_NEEDED;
}

static int64_t model_get_size(void* handle) {
  (void)handle;
  return size;
}

static int model_pread(void* handle, void* buf, uint32_t count, uint64_t offset, uint32_t flags) {
  (void)handle;
  (void)flags;
  lock();
  memcpy(buf, disk + offset, count);
  unlock();
  return 0;
}

static int model_pwrite(void* handle, const void* buf, uint32_t count, uint64_t offset,
                        uint32_t flags) {
  (void)handle;
  (void)flags;
  lock();
  memcpy(disk + offset, buf, count);
  unlock();
  return 0;
}

static struct nbdkit_plugin plugin = {
    .name = MODEL_NAME,
    .longname = "nbdcheck reference plugin of one thread model",
    .version = "0.1.0",
    .unload = model_unload,
    .config = model_config,
    .config_help = "size=<SIZE>  Size of the disk (default 1M).",
    .magic_config_key = "size",
    .get_ready = model_get_ready,
    .open = model_open,
    .get_size = model_get_size,
    .pread = model_pread,
    .pwrite = model_pwrite,
};
NBDKIT_REGISTER_PLUGIN(plugin)
