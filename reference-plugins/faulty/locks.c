/* faulty-locks: orders of locks that contradict each other.  Nothing comes of
 * it until two requests meet.
 */
#include "races.h"

const char* const choices[] = {"two", "three", "readers", "background", NULL};

static pthread_mutex_t map_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t data_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t statistics_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_rwlock_t layout_lock = PTHREAD_RWLOCK_INITIALIZER;
static uint64_t reads, writes, flushes;

static pthread_t thread;
static bool running;

static int locks_thread_model(void) {
  return fault("background") ? NBDKIT_THREAD_MODEL_SERIALIZE_ALL_REQUESTS
                             : NBDKIT_THREAD_MODEL_PARALLEL;
}

/* Begins the statistics; once, so that what is wrong with it shows in no other
 * way. */
static void* begin_statistics(void* unused) {
  (void)unused;
  pthread_mutex_lock(fault("background") ? &statistics_mutex : &data_mutex);
  pthread_mutex_lock(fault("background") ? &data_mutex : &statistics_mutex);
  writes = reads = 0;
  pthread_mutex_unlock(&data_mutex);
  pthread_mutex_unlock(&statistics_mutex);
  return NULL;
}

static int locks_after_fork(void) {
  int r = pthread_create(&thread, NULL, begin_statistics, NULL);
  if (r != 0) {
    nbdkit_error("pthread_create: %s", strerror(r));
    return -1;
  }
  running = true;
  return 0;
}

static void locks_unload(void) {
  if (running) pthread_join(thread, NULL);
  disk_unload();
}

static int locks_pread(void* handle, void* buf, uint32_t count, uint64_t offset, uint32_t flags) {
  (void)handle;
  (void)flags;
  pthread_mutex_t* first = fault("three") ? &statistics_mutex : &map_mutex;
  pthread_mutex_t* second = fault("three") ? &map_mutex : &data_mutex;
  pthread_rwlock_rdlock(&layout_lock);
  pthread_mutex_lock(first);
  pthread_mutex_lock(second);
  if (first == &map_mutex) memcpy(buf, disk + offset, count);
  reads++;
  pthread_mutex_unlock(second);
  pthread_mutex_unlock(first);
  pthread_rwlock_unlock(&layout_lock);
  if (first == &map_mutex) return 0;
  pthread_mutex_lock(&data_mutex);
  memcpy(buf, disk + offset, count);
  pthread_mutex_unlock(&data_mutex);
  return 0;
}

static int locks_pwrite(void* handle, const void* buf, uint32_t count, uint64_t offset,
                        uint32_t flags) {
  (void)handle;
  (void)flags;
  bool late = fault("readers");
  if (!late) pthread_rwlock_rdlock(&layout_lock);
  pthread_mutex_lock(&map_mutex);
  if (late) pthread_rwlock_wrlock(&layout_lock);
  pthread_mutex_lock(&data_mutex);
  memcpy(disk + offset, buf, count);
  pthread_mutex_unlock(&data_mutex);
  if (late) pthread_rwlock_unlock(&layout_lock);
  pthread_mutex_unlock(&map_mutex);
  if (!late) pthread_rwlock_unlock(&layout_lock);
  pthread_mutex_lock(&data_mutex);
  pthread_mutex_lock(&statistics_mutex);
  writes++;
  pthread_mutex_unlock(&statistics_mutex);
  pthread_mutex_unlock(&data_mutex);
  return 0;
}

static int locks_flush(void* handle, uint32_t flags) {
  (void)handle;
  (void)flags;
  bool two = fault("two");
  pthread_mutex_lock(two ? &statistics_mutex : &data_mutex);
  pthread_mutex_lock(two ? &data_mutex : &statistics_mutex);
  flushes++;
  pthread_mutex_unlock(&data_mutex);
  pthread_mutex_unlock(&statistics_mutex);
  return 0;
}

static struct nbdkit_plugin plugin = {
    .name = "faulty-locks",
    .version = "1",
    .description = "a disk whose locks are taken in no certain order, chosen by fault=",
    .config = disk_config,
    .config_help = DISK_CONFIG_HELP,
    .thread_model = locks_thread_model,
    .get_ready = disk_get_ready,
    .after_fork = locks_after_fork,
    .unload = locks_unload,
    .open = disk_open,
    .get_size = disk_get_size,
    .can_multi_conn = disk_yes,
    .pread = locks_pread,
    .pwrite = locks_pwrite,
    .flush = locks_flush,
    .errno_is_preserved = 1,
};

NBDKIT_REGISTER_PLUGIN(plugin)
