/* legal-pool: has so many connections to what is behind it, and lets a client wait
 * in .open until one of them is free. nbdkit does so itself under
 * SERIALIZE_CONNECTIONS, with one.
 *
 * mode=two|ten: how many there are
 */
#include <limits.h>

#include "mode.h"

const char* const choices[] = {"two", "ten", NULL};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t one_is_free = PTHREAD_COND_INITIALIZER;
static unsigned taken;

static unsigned room(void) {
  if (mode("two")) return 2;
  return mode("ten") ? 10 : UINT_MAX;
}

static void* pool_open(int readonly) {
  pthread_mutex_lock(&mutex);
  while (taken >= room()) pthread_cond_wait(&one_is_free, &mutex);
  taken++;
  pthread_mutex_unlock(&mutex);
  return disk_open(readonly);
}

static void pool_close(void* handle) {
  (void)handle;
  pthread_mutex_lock(&mutex);
  taken--;
  pthread_cond_signal(&one_is_free);
  pthread_mutex_unlock(&mutex);
}

static struct nbdkit_plugin plugin = {
    .name = "legal-pool",
    .version = "0.1.0",
    .config = disk_config,
    .config_help = DISK_CONFIG_HELP,
    .get_ready = disk_get_ready,
    .unload = disk_unload,
    .open = pool_open,
    .close = pool_close,
    .get_size = disk_get_size,
    .can_multi_conn = disk_yes,
    .pread = disk_pread,
    .pwrite = disk_pwrite,
    .flush = disk_flush,
};

NBDKIT_REGISTER_PLUGIN(plugin)
