/* faulty-runtime: as with the runtimes of some languages, threads are started by
 * dlopen, and all work is done by them. nbdkit -f serves it well; a daemon is the
 * copy that fork made, without them.
 */
#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>
#include <stdint.h>
#include <string.h>

#include "worker.h"

#define THREAD_MODEL NBDKIT_THREAD_MODEL_SERIALIZE_ALL_REQUESTS

__attribute__((constructor)) static void start(void) { (void)start_worker(); }

__attribute__((destructor)) static void stop(void) {
  tell_worker_to_stop();
  pthread_join(worker, NULL);
}

static void* runtime_open(int readonly) {
  (void)readonly;
  ask_worker();
  return NBDKIT_HANDLE_NOT_NEEDED;
}

static int64_t runtime_get_size(void* handle) {
  (void)handle;
  return 1 << 20;
}

static int runtime_pread(void* handle, void* buf, uint32_t count, uint64_t offset, uint32_t flags) {
  (void)handle;
  (void)offset;
  (void)flags;
  memset(buf, 0, count);
  return 0;
}

static struct nbdkit_plugin plugin = {
    .name = "faulty-runtime",
    .version = "0.1.0",
    .open = runtime_open,
    .get_size = runtime_get_size,
    .pread = runtime_pread,
};
NBDKIT_REGISTER_PLUGIN(plugin)
