/* legal-locks: many locks, and no two requests that could wait for each other.
 *
 *   plain     a lock for each part of the disk, taken in the order of addresses
 *   backward  the same, from the last to the first
 *   trylock   in any order, but if one is taken all are given back
 *   gate      in any order, but only one request at a time is about to take any
 *   readers   two locks for reading in any order
 *   coupled   the next part's lock is taken before the last one's is given back
 *   fresh     each request has a lock of its own, taken before or after others
 */
#define _GNU_SOURCE
#include "mode.h"

#include <sched.h>

const char* const choices[] = {"backward", "trylock", "gate", "readers", "coupled", "fresh", NULL};

#define PARTS 16

static pthread_mutex_t parts[PARTS];
static pthread_mutex_t gate_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_rwlock_t one = PTHREAD_RWLOCK_INITIALIZER;
static pthread_rwlock_t other = PTHREAD_RWLOCK_INITIALIZER;

static int locks_get_ready(void) {
  for (int i = 0; i < PARTS; i++) pthread_mutex_init(&parts[i], NULL);
  return disk_get_ready();
}

static unsigned part_of(uint64_t offset) {
  return (unsigned)(offset / ((uint64_t)disk_size / PARTS + 1));
}

/* The parts of a range, first to last or, where `back`, last to first. */
static void lock_range(unsigned first, unsigned last, bool back) {
  for (unsigned i = first; i <= last; i++) {
    pthread_mutex_t* next = &parts[back ? first + last - i : i];
    if (!mode("trylock")) {
      pthread_mutex_lock(next);
    } else if (pthread_mutex_trylock(next) != 0) {
      while (i-- > first) pthread_mutex_unlock(&parts[back ? first + last - i : i]);
      sched_yield();
      i = first - 1; /* from the beginning */
    }
  }
}

static void copy(uint8_t* to, const uint8_t* from, uint32_t count) {
  if (to) memcpy(to, from, count);
}

/* Moves the data of a request under the locks of its parts. */
static int transfer(uint8_t* to_client, const uint8_t* from_client, uint32_t count,
                    uint64_t offset) {
  unsigned first = part_of(offset), last = part_of(offset + count - 1);
  bool back = mode("backward") ||
              ((mode("trylock") || mode("gate")) && to_client != NULL); /* reads go backward */
  uint8_t* there = disk + offset;
  if (mode("coupled")) {
    pthread_mutex_lock(&parts[first]);
    for (unsigned i = first; i < last; i++) {
      pthread_mutex_lock(&parts[i + 1]);
      pthread_mutex_unlock(&parts[i]);
    }
    disk_lock();
    if (to_client) copy(to_client, there, count);
    if (from_client) copy(there, from_client, count);
    disk_unlock();
    pthread_mutex_unlock(&parts[last]);
    return 0;
  }
  if (mode("gate")) pthread_mutex_lock(&gate_mutex);
  lock_range(first, last, back);
  if (to_client) copy(to_client, there, count);
  if (from_client) copy(there, from_client, count);
  for (unsigned i = first; i <= last; i++) pthread_mutex_unlock(&parts[i]);
  if (mode("gate")) pthread_mutex_unlock(&gate_mutex);
  return 0;
}

/* Takes two locks for reading, in this order or in that. */
static void look(bool back) {
  if (!mode("readers")) return;
  pthread_rwlock_rdlock(back ? &other : &one);
  pthread_rwlock_rdlock(back ? &one : &other);
  pthread_rwlock_unlock(back ? &one : &other);
  pthread_rwlock_unlock(back ? &other : &one);
}

/* A lock that nobody else knows, outside of another or inside. */
static int own_lock(bool outside) {
  if (!mode("fresh")) return 0;
  pthread_mutex_t* own = calloc(1, sizeof *own);
  if (!own) return fail(ENOMEM, "calloc failed");
  pthread_mutex_lock(outside ? own : &gate_mutex);
  pthread_mutex_lock(outside ? &gate_mutex : own);
  pthread_mutex_unlock(own);
  pthread_mutex_unlock(&gate_mutex);
  free(own);
  return 0;
}

static int locks_pread(void* handle, void* buf, uint32_t count, uint64_t offset, uint32_t flags) {
  (void)handle;
  (void)flags;
  look(true);
  if (own_lock(true) == -1) return -1;
  return transfer(buf, NULL, count, offset);
}

static int locks_pwrite(void* handle, const void* buf, uint32_t count, uint64_t offset,
                        uint32_t flags) {
  (void)handle;
  (void)flags;
  look(false);
  if (own_lock(false) == -1) return -1;
  return transfer(NULL, buf, count, offset);
}

static struct nbdkit_plugin plugin = {
    .name = "legal-locks",
    .version = "1",
    .description = "a disk with many locks, in a way that mode= chooses",
    .config = disk_config,
    .config_help = DISK_CONFIG_HELP,
    .get_ready = locks_get_ready,
    .unload = disk_unload,
    .open = disk_open,
    .get_size = disk_get_size,
    .can_multi_conn = disk_yes,
    .pread = locks_pread,
    .pwrite = locks_pwrite,
    .flush = disk_flush,
    .errno_is_preserved = 1,
};

NBDKIT_REGISTER_PLUGIN(plugin)
