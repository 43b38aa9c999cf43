/* faulty-races-wait: locks that do not lock, locks in the wrong order, and
 * waiting for what has already happened.  Writes change whole blocks, so that
 * two of them must not run at once.
 */
#define _GNU_SOURCE
#include "races.h"

#include <sched.h>

const char* const choices[] = {"lock-order",   "lost-wakeup", "one-signal", "if-wait",
                               "early-unlock", "broken-flag", "read-lock",  "trylock",
                               "drain",        NULL};

#define BLOCK 4096U
#define SLOTS 2

static pthread_mutex_t block_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t counter_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static volatile int busy;
static uint64_t writes;

/* A few buffers for all. */
static pthread_mutex_t slot_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t slot_free = PTHREAD_COND_INITIALIZER;
static bool taken[SLOTS];
static uint8_t buffers[SLOTS][BLOCK];

/* Work for a thread of our own. */
static pthread_mutex_t work_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t work_changed = PTHREAD_COND_INITIALIZER;
static volatile int asked, answered;
static bool stopping;
static pthread_t worker;
static bool working;

/* Requests under way, for flush. */
static pthread_mutex_t flight_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t flight_changed = PTHREAD_COND_INITIALIZER;
static int in_flight;
static bool draining;

static bool uses_worker(void) { return fault("lost-wakeup") || fault("one-signal"); }

static void* work(void* unused) {
  (void)unused;
  pthread_mutex_lock(&work_mutex);
  while (!stopping) {
    if (asked > answered) {
      answered = asked;
      pthread_cond_broadcast(&work_changed);
      continue;
    }
    if (fault("lost-wakeup")) {
      /* There was nothing to do a moment ago. */
      pthread_mutex_unlock(&work_mutex);
      sched_yield();
      pthread_mutex_lock(&work_mutex);
      if (stopping) break;
    }
    pthread_cond_wait(&work_changed, &work_mutex);
  }
  pthread_mutex_unlock(&work_mutex);
  return NULL;
}

/* Has the worker look at each write. */
static void ask_worker(void) {
  pthread_mutex_lock(&work_mutex);
  int mine = ++asked;
  if (fault("one-signal"))
    pthread_cond_signal(&work_changed); /* the worker, or another request that waits */
  else
    pthread_cond_broadcast(&work_changed);
  while (answered < mine) pthread_cond_wait(&work_changed, &work_mutex);
  pthread_mutex_unlock(&work_mutex);
}

static int wait_after_fork(void) {
  if (!uses_worker()) return 0;
  int r = pthread_create(&worker, NULL, work, NULL);
  if (r != 0) {
    nbdkit_error("pthread_create: %s", strerror(r));
    return -1;
  }
  working = true;
  return 0;
}

static void wait_cleanup(void) {
  if (!working) return;
  pthread_mutex_lock(&work_mutex);
  stopping = true;
  pthread_cond_broadcast(&work_changed);
  pthread_mutex_unlock(&work_mutex);
  pthread_join(worker, NULL);
  working = false;
}

static int take_slot(void) {
  int slot = -1;
  pthread_mutex_lock(&slot_mutex);
  for (;;) {
    for (int i = 0; i < SLOTS && slot == -1; i++)
      if (!taken[i]) slot = i;
    if (slot != -1) break;
    pthread_cond_wait(&slot_free, &slot_mutex);
    if (fault("if-wait")) {
      slot = 0; /* it must be free now */
      break;
    }
  }
  taken[slot] = true;
  pthread_mutex_unlock(&slot_mutex);
  return slot;
}

static void give_slot(int slot) {
  pthread_mutex_lock(&slot_mutex);
  taken[slot] = false;
  pthread_cond_signal(&slot_free);
  pthread_mutex_unlock(&slot_mutex);
}

static __thread bool locked; /* by "trylock", which goes on without the lock */

static void lock_blocks(void) {
  if (fault("broken-flag")) {
    while (busy) sched_yield();
    busy = 1;
  } else if (fault("read-lock")) {
    pthread_rwlock_rdlock(&rwlock);
  } else if (fault("trylock")) {
    locked = pthread_mutex_trylock(&block_mutex) == 0;
  } else {
    pthread_mutex_lock(&block_mutex);
  }
}

static void unlock_blocks(void) {
  if (fault("broken-flag")) {
    busy = 0;
  } else if (fault("read-lock")) {
    pthread_rwlock_unlock(&rwlock);
  } else if (fault("trylock")) {
    if (locked) pthread_mutex_unlock(&block_mutex);
  } else {
    pthread_mutex_unlock(&block_mutex);
  }
}

static void write_block(uint8_t* copy, const uint8_t* from, struct piece p) {
  uint64_t begin = p.unit * BLOCK;
  uint64_t left = (uint64_t)disk_size - begin;
  size_t size = left < BLOCK ? left : BLOCK;
  lock_blocks();
  memcpy(copy, disk + begin, size);
  memcpy(copy + p.at, from, p.length);
  if (fault("early-unlock")) unlock_blocks();
  memcpy(disk + begin, copy, size);
  if (!fault("early-unlock")) unlock_blocks();
}

static void begin_request(void) {
  if (!fault("drain")) return;
  pthread_mutex_lock(&flight_mutex);
  while (draining) pthread_cond_wait(&flight_changed, &flight_mutex);
  in_flight++;
  pthread_mutex_unlock(&flight_mutex);
}

static void end_request(void) {
  if (!fault("drain")) return;
  pthread_mutex_lock(&block_mutex);
  pthread_mutex_lock(&flight_mutex);
  if (--in_flight == 0) pthread_cond_broadcast(&flight_changed);
  pthread_mutex_unlock(&flight_mutex);
  pthread_mutex_unlock(&block_mutex);
}

static int wait_pwrite(void* handle, const void* buf, uint32_t count, uint64_t offset,
                       uint32_t flags) {
  (void)handle;
  (void)flags;
  const uint8_t* from = buf;
  begin_request();
  while (count > 0) {
    struct piece p = first_piece(offset, count, BLOCK);
    if (fault("if-wait")) {
      int slot = take_slot();
      memcpy(buffers[slot], from, p.length);
      disk_lock();
      memcpy(disk + offset, buffers[slot], p.length);
      disk_unlock();
      give_slot(slot);
    } else {
      uint8_t copy[BLOCK];
      write_block(copy, from, p);
    }
    from += p.length;
    offset += p.length;
    count -= p.length;
  }
  if (uses_worker()) ask_worker();
  pthread_mutex_lock(&block_mutex);
  pthread_mutex_lock(&counter_mutex);
  writes++;
  pthread_mutex_unlock(&counter_mutex);
  pthread_mutex_unlock(&block_mutex);
  end_request();
  return 0;
}

/* Servers before 1.26 know no .cleanup. */
static void wait_unload(void) {
  wait_cleanup();
  disk_unload();
}

static int wait_pread(void* handle, void* buf, uint32_t count, uint64_t offset, uint32_t flags) {
  (void)handle;
  (void)flags;
  begin_request();
  pthread_mutex_lock(&block_mutex);
  memcpy(buf, disk + offset, count);
  pthread_mutex_unlock(&block_mutex);
  end_request();
  return 0;
}

static int wait_flush(void* handle, uint32_t flags) {
  (void)handle;
  (void)flags;
  if (fault("lock-order")) {
    pthread_mutex_lock(&counter_mutex);
    pthread_mutex_lock(&block_mutex);
    writes = 0;
    pthread_mutex_unlock(&block_mutex);
    pthread_mutex_unlock(&counter_mutex);
  } else if (fault("drain")) {
    /* Nothing may begin until all have ended; those that end need the lock. */
    pthread_mutex_lock(&block_mutex);
    pthread_mutex_lock(&flight_mutex);
    draining = true;
    while (in_flight > 0) pthread_cond_wait(&flight_changed, &flight_mutex);
    draining = false;
    pthread_cond_broadcast(&flight_changed);
    pthread_mutex_unlock(&flight_mutex);
    pthread_mutex_unlock(&block_mutex);
  } else {
    pthread_mutex_lock(&block_mutex);
    pthread_mutex_lock(&counter_mutex);
    writes = 0;
    pthread_mutex_unlock(&counter_mutex);
    pthread_mutex_unlock(&block_mutex);
  }
  return 0;
}

static struct nbdkit_plugin plugin = {
    .name = "faulty-races-wait",
    .version = "1",
    .description = "a disk that locks and waits wrongly in one way, chosen by fault=",
    .config = disk_config,
    .config_help = DISK_CONFIG_HELP,
    .get_ready = disk_get_ready,
    .after_fork = wait_after_fork,
    .cleanup = wait_cleanup,
    .unload = wait_unload,
    .open = disk_open,
    .get_size = disk_get_size,
    .can_multi_conn = disk_yes,
    .pread = wait_pread,
    .pwrite = wait_pwrite,
    .flush = wait_flush,
    .errno_is_preserved = 1,
};

NBDKIT_REGISTER_PLUGIN(plugin)
