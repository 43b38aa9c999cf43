/* faulty-races-cache: a write-back cache of a few blocks, which a thread of its
 * own writes to the disk behind.
 */
#define _GNU_SOURCE
#include "races.h"

#include <sched.h>
#include <time.h>

const char* const choices[] = {"dirty-late",    "fill",        "evict", "write-back-old",
                               "double-insert", "flush-count", NULL};

#define BLOCK 4096U
#define BLOCKS 8

struct block {
  volatile uint64_t number;
  volatile bool used, dirty;
  volatile unsigned touched;
  uint8_t data[BLOCK];
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct block blocks[BLOCKS];
static volatile unsigned clock_hand;
static volatile unsigned dirty_blocks;
static volatile bool stopping;
static pthread_t writer;
static bool writing;

static size_t size_of(uint64_t number) {
  uint64_t left = (uint64_t)disk_size - number * BLOCK;
  return left < BLOCK ? left : BLOCK;
}

/* All below is called with the mutex held, if not said otherwise. */
static struct block* find(uint64_t number) {
  for (int i = 0; i < BLOCKS; i++)
    if (blocks[i].used && blocks[i].number == number) return &blocks[i];
  return NULL;
}

static void write_back(struct block* b) {
  if (!b->used || !b->dirty) return;
  memcpy(disk + b->number * BLOCK, b->data, size_of(b->number));
  b->dirty = false;
  if (dirty_blocks > 0) dirty_blocks--;
}

static struct block* victim(void) {
  struct block* b = &blocks[clock_hand++ % BLOCKS];
  write_back(b);
  b->used = false;
  return b;
}

static struct block* bring_in(uint64_t number) {
  struct block* b = find(number);
  if (b) return b;
  if (fault("fill") || fault("double-insert")) {
    /* The disk is slow; nobody shall wait meanwhile. */
    uint8_t copy[BLOCK];
    pthread_mutex_unlock(&mutex);
    memcpy(copy, disk + number * BLOCK, size_of(number));
    pthread_mutex_lock(&mutex);
    struct block* other = fault("fill") ? find(number) : NULL;
    b = other ? other : victim();
    memcpy(b->data, copy, BLOCK);
  } else {
    b = victim();
    memcpy(b->data, disk + number * BLOCK, size_of(number));
  }
  b->number = number;
  b->used = true;
  return b;
}

static void make_dirty(struct block* b) {
  if (!b->dirty) dirty_blocks++;
  b->dirty = true;
  b->touched++;
}

/* Without the mutex. */
static void clean(struct block* b) {
  uint8_t copy[BLOCK];
  pthread_mutex_lock(&mutex);
  if (!b->used || !b->dirty) {
    pthread_mutex_unlock(&mutex);
    return;
  }
  if (!fault("dirty-late") && !fault("write-back-old")) {
    write_back(b);
    pthread_mutex_unlock(&mutex);
    return;
  }
  uint64_t number = b->number;
  memcpy(copy, b->data, BLOCK);
  if (fault("write-back-old")) {
    b->dirty = false;
    if (dirty_blocks > 0) dirty_blocks--;
  }
  pthread_mutex_unlock(&mutex);
  memcpy(disk + number * BLOCK, copy, size_of(number));
  if (fault("write-back-old")) return;
  pthread_mutex_lock(&mutex);
  if (b->used && b->number == number) b->dirty = false; /* and what came meanwhile? */
  if (dirty_blocks > 0) dirty_blocks--;
  pthread_mutex_unlock(&mutex);
}

static void* write_behind(void* unused) {
  (void)unused;
  const struct timespec pause = {0, 50 * 1000};
  while (!stopping) {
    for (int i = 0; i < BLOCKS; i++) clean(&blocks[i]);
    nanosleep(&pause, NULL);
  }
  return NULL;
}

static int cache_after_fork(void) {
  int r = pthread_create(&writer, NULL, write_behind, NULL);
  if (r != 0) {
    nbdkit_error("pthread_create: %s", strerror(r));
    return -1;
  }
  writing = true;
  return 0;
}

static void cache_cleanup(void) {
  if (!writing) return;
  stopping = true;
  pthread_join(writer, NULL);
  writing = false;
}

/* Servers before 1.26 know no .cleanup. */
static void cache_unload(void) {
  cache_cleanup();
  disk_unload();
}

static int cache_pread(void* handle, void* buf, uint32_t count, uint64_t offset, uint32_t flags) {
  (void)handle;
  (void)flags;
  uint8_t* to = buf;
  while (count > 0) {
    struct piece p = first_piece(offset, count, BLOCK);
    pthread_mutex_lock(&mutex);
    struct block* b = bring_in(p.unit);
    if (fault("evict")) pthread_mutex_unlock(&mutex);
    memcpy(to, b->data + p.at, p.length);
    if (!fault("evict")) pthread_mutex_unlock(&mutex);
    to += p.length;
    offset += p.length;
    count -= p.length;
  }
  return 0;
}

static int cache_pwrite(void* handle, const void* buf, uint32_t count, uint64_t offset,
                        uint32_t flags) {
  (void)handle;
  (void)flags;
  const uint8_t* from = buf;
  while (count > 0) {
    struct piece p = first_piece(offset, count, BLOCK);
    pthread_mutex_lock(&mutex);
    if (p.length == BLOCK) {
      /* All of it is new: the cache has nothing to add. */
      struct block* b = find(p.unit);
      if (b) {
        if (b->dirty && dirty_blocks > 0) dirty_blocks--;
        b->used = b->dirty = false;
      }
      memcpy(disk + offset, from, BLOCK);
    } else {
      struct block* b = bring_in(p.unit);
      memcpy(b->data + p.at, from, p.length);
      make_dirty(b);
    }
    pthread_mutex_unlock(&mutex);
    from += p.length;
    offset += p.length;
    count -= p.length;
  }
  return 0;
}

static int cache_flush(void* handle, uint32_t flags) {
  (void)handle;
  (void)flags;
  for (int i = 0; i < BLOCKS; i++) {
    if (fault("flush-count")) {
      /* Takes the blocks away to write them, and puts them back empty. */
      struct block* b = &blocks[i];
      if (!b->used || !b->dirty) continue;
      uint64_t number = b->number;
      uint8_t copy[BLOCK];
      memcpy(copy, b->data, BLOCK);
      pthread_mutex_lock(&mutex);
      if (b->used && b->number == number) {
        memcpy(disk + number * BLOCK, copy, size_of(number));
        b->used = b->dirty = false;
      }
      pthread_mutex_unlock(&mutex);
    } else {
      clean(&blocks[i]);
    }
  }
  return 0;
}

static struct nbdkit_plugin plugin = {
    .name = "faulty-races-cache",
    .version = "1",
    .description = "a write-back cache with one race, chosen by fault=",
    .config = disk_config,
    .config_help = DISK_CONFIG_HELP,
    .get_ready = disk_get_ready,
    .after_fork = cache_after_fork,
    .cleanup = cache_cleanup,
    .unload = cache_unload,
    .open = disk_open,
    .get_size = disk_get_size,
    .can_multi_conn = disk_yes,
    .pread = cache_pread,
    .pwrite = cache_pwrite,
    .flush = cache_flush,
    .errno_is_preserved = 1,
};

NBDKIT_REGISTER_PLUGIN(plugin)
