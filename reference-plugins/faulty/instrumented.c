/* Faults that harm nobody at once, and that an instrument sees all the same: built
 * with a sanitizer, or run under valgrind.
 *
 *   fault=overflow       reads a byte behind its own allocation, in .pread
 *   fault=after-free     reads what it has freed, in .pread
 *   fault=shift          shifts by more bits than there are, in .pread
 *   fault=leak           .open allocates what nothing frees
 *   fault=race           .pread counts without a lock, in the parallel model
 *   fault=locks          two locks, in both orders, one thread after the other
 *   fault=uninitialised  decides by a byte that nobody set, in .pread
 *   fault=unset-call     gives such bytes to the system, in .pread
 */
#define NBDKIT_API_VERSION 2
#include <fcntl.h>
#include <nbdkit-plugin.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define THREAD_MODEL NBDKIT_THREAD_MODEL_PARALLEL
#define DISK_SIZE 1048576

static const char* fault = "none";
static unsigned char* disk;
static pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
static pthread_mutex_t first = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t second = PTHREAD_MUTEX_INITIALIZER;
static unsigned counted;
static volatile unsigned seen;

static int is(const char* name) { return strcmp(fault, name) == 0; }

static int instrumented_config(const char* key, const char* value) {
  if (strcmp(key, "fault") != 0) {
    nbdkit_error("unknown parameter '%s'", key);
    return -1;
  }
  static const char* const faults[] = {"none", "overflow", "after-free",   "shift",
                                       "leak", "race",     "uninitialised", "locks",
                                       "unset-call"};
  for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
    if (strcmp(value, faults[i]) == 0) {
      fault = faults[i];
      return 0;
    }
  }
  nbdkit_error("unknown fault '%s'", value);
  return -1;
}

static int instrumented_get_ready(void) {
  disk = calloc(1, DISK_SIZE);
  if (disk == NULL) nbdkit_error("calloc: %m");
  return disk == NULL ? -1 : 0;
}

static void instrumented_unload(void) { free(disk); }

struct handle {
  char* note;
};

static void* instrumented_open(int readonly) {
  (void)readonly;
  struct handle* handle = malloc(sizeof *handle);
  if (handle == NULL) {
    nbdkit_error("malloc: %m");
    return NULL;
  }
  handle->note = malloc(100);
  if (handle->note != NULL) memset(handle->note, 'n', 100);
  return handle;
}

static void instrumented_close(void* opened) {
  struct handle* handle = opened;
  if (!is("leak")) free(handle->note);
  free(handle);
}

static int64_t instrumented_get_size(void* handle) {
  (void)handle;
  return DISK_SIZE;
}

static int instrumented_can_multi_conn(void* handle) {
  (void)handle;
  return 1;
}

static int instrumented_can_flush(void* handle) {
  (void)handle;
  return 1;
}

static int instrumented_flush(void* handle, uint32_t flags) {
  (void)handle;
  (void)flags;
  return 0; /* there is only memory */
}

static void misbehave(uint32_t count) {
  unsigned char* mine = malloc(16);
  if (mine == NULL) return;
  memset(mine, 1, 16);
  volatile unsigned char* p = mine;
  unsigned sum = 0;
  if (is("overflow")) sum += p[16 + count % 8];
  if (is("shift")) sum += 1u << (32 + count % 7);
  free(mine);
  if (is("after-free")) sum += p[count % 16];
  if (is("uninitialised")) {
    volatile unsigned char* unset = malloc(16);
    if (unset != NULL && unset[count % 16] == 'x') nbdkit_debug("an x");
    free((void*)unset);
  }
  seen = sum; /* written, never read: it keeps the compiler from knowing better */
}

static void tell_unset(void) {
  int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
  void* unset = malloc(16);
  if (fd >= 0 && unset != NULL && write(fd, unset, 16) != 16) nbdkit_debug("write: %m");
  free(unset);
  if (fd >= 0) close(fd);
}

static void take_both(pthread_mutex_t* a, pthread_mutex_t* b) {
  pthread_mutex_lock(a);
  pthread_mutex_lock(b);
  pthread_mutex_unlock(b);
  pthread_mutex_unlock(a);
}

static int instrumented_pread(void* handle, void* buf, uint32_t count, uint64_t offset,
                              uint32_t flags) {
  (void)handle;
  (void)flags;
  if (is("race")) counted++;
  if (is("overflow") || is("shift") || is("after-free") || is("uninitialised")) misbehave(count);
  if (is("unset-call")) tell_unset();
  if (is("locks")) {
    take_both(&first, &second);
    take_both(&second, &first);
  }
  pthread_rwlock_rdlock(&lock);
  memcpy(buf, disk + offset, count);
  pthread_rwlock_unlock(&lock);
  return 0;
}

static int instrumented_pwrite(void* handle, const void* buf, uint32_t count, uint64_t offset,
                               uint32_t flags) {
  (void)handle;
  (void)flags;
  pthread_rwlock_wrlock(&lock);
  memcpy(disk + offset, buf, count);
  pthread_rwlock_unlock(&lock);
  return 0;
}

static struct nbdkit_plugin plugin = {
  .name = "faulty-instrumented",
  .version = "1",
  .unload = instrumented_unload,
  .config = instrumented_config,
  .config_help = "fault=NAME  what to do wrong (default: none)",
  .get_ready = instrumented_get_ready,
  .open = instrumented_open,
  .close = instrumented_close,
  .get_size = instrumented_get_size,
  .can_multi_conn = instrumented_can_multi_conn,
  .can_flush = instrumented_can_flush,
  .pread = instrumented_pread,
  .pwrite = instrumented_pwrite,
  .flush = instrumented_flush,
};

NBDKIT_REGISTER_PLUGIN(plugin)
