/* faulty-runtime: as with the runtimes of some languages, threads are started by
 * dlopen, and all work is done by them. nbdkit -f serves it well; a daemon is the
 * copy that fork made, without them.
 */
#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define THREAD_MODEL NBDKIT_THREAD_MODEL_SERIALIZE_ALL_REQUESTS

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static pthread_t worker;
static bool asked, answered, stopping;

static void* work(void* unused) {
  (void)unused;
  pthread_mutex_lock(&mutex);
  while (!stopping) {
    if (asked) {
      asked = false;
      answered = true;
      pthread_cond_broadcast(&changed);
    }
    pthread_cond_wait(&changed, &mutex);
  }
  pthread_mutex_unlock(&mutex);
  return NULL;
}

__attribute__((constructor)) static void start(void) { pthread_create(&worker, NULL, work, NULL); }

__attribute__((destructor)) static void stop(void) {
  pthread_mutex_lock(&mutex);
  stopping = true;
  pthread_cond_broadcast(&changed);
  pthread_mutex_unlock(&mutex);
  pthread_join(worker, NULL);
}

static void* runtime_open(int readonly) {
  (void)readonly;
  pthread_mutex_lock(&mutex);
  asked = true;
  pthread_cond_broadcast(&changed);
  while (!answered) pthread_cond_wait(&changed, &mutex);
  answered = false;
  pthread_mutex_unlock(&mutex);
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
