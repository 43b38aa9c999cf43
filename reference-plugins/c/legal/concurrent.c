/* legal-concurrent: disks that serve in parallel and are right, each in a way
 * of its own.
 */
#include "mode.h"

#include <stdatomic.h>
#include <time.h>

const char* const choices[] = {"striped",      "lock-free",  "sectors",       "copy",
                               "handle-cache", "write-back", "reader-writer", NULL};

#define CHUNK 4096U
#define STRIPES 16U
#define SECTOR 512U
#define CACHE_BLOCKS 4U

struct block {
  uint64_t number;
  bool used, dirty;
  uint8_t data[CHUNK];
};

struct handle {
  pthread_mutex_t mutex;
  struct block cache[CACHE_BLOCKS];
  unsigned next;
};

static pthread_mutex_t stripes[STRIPES];
static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static _Atomic(uint64_t)* words; /* the disk of "lock-free" */
static pthread_mutex_t write_back_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t write_back_wake = PTHREAD_COND_INITIALIZER;
static uint8_t* behind; /* what "write-back" writes to */
static bool* dirty;     /* by chunk */
static bool stopping, writing;
static pthread_t writer;

static uint64_t chunks(void) { return round_up((uint64_t)disk_size, CHUNK) / CHUNK; }

static uint32_t piece_of(uint64_t offset, uint32_t count, uint32_t unit) {
  uint32_t left = unit - (uint32_t)(offset % unit);
  return left < count ? left : count;
}

static int concurrent_get_ready(void) {
  for (unsigned i = 0; i < STRIPES; i++) pthread_mutex_init(&stripes[i], NULL);
  words = calloc((size_t)disk_size / 8 + 1, sizeof *words);
  behind = calloc(1, chunks() * CHUNK + 1);
  dirty = calloc(chunks() + 1, sizeof *dirty);
  if (!words || !behind || !dirty) {
    nbdkit_error("calloc: %m");
    return -1;
  }
  return disk_get_ready();
}

/* Writes dirty chunks back, a few at a time, while requests go on. */
static void* write_back(void* unused) {
  (void)unused;
  pthread_mutex_lock(&write_back_mutex);
  while (!stopping) {
    for (uint64_t c = 0; c < chunks(); c++) {
      if (!dirty[c]) continue;
      dirty[c] = false;
      uint64_t left = (uint64_t)disk_size - c * CHUNK;
      memcpy(behind + c * CHUNK, disk + c * CHUNK, left < CHUNK ? left : CHUNK);
    }
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += 200 * 1000;
    if (until.tv_nsec >= 1000000000) {
      until.tv_nsec -= 1000000000;
      until.tv_sec++;
    }
    pthread_cond_timedwait(&write_back_wake, &write_back_mutex, &until);
  }
  pthread_mutex_unlock(&write_back_mutex);
  return NULL;
}

static int concurrent_after_fork(void) {
  if (!mode("write-back")) return 0;
  int r = pthread_create(&writer, NULL, write_back, NULL);
  if (r != 0) {
    nbdkit_error("pthread_create: %s", strerror(r));
    return -1;
  }
  writing = true;
  return 0;
}

static void stop_writer(void) {
  if (!writing) return;
  pthread_mutex_lock(&write_back_mutex);
  stopping = true;
  pthread_cond_signal(&write_back_wake);
  pthread_mutex_unlock(&write_back_mutex);
  pthread_join(writer, NULL);
  writing = false;
}

static void concurrent_unload(void) {
  stop_writer();
  free(words);
  free(behind);
  free(dirty);
  disk_unload();
}

static void* concurrent_open(int readonly) {
  (void)readonly;
  struct handle* h = calloc(1, sizeof *h);
  if (!h) {
    nbdkit_error("calloc: %m");
    return NULL;
  }
  pthread_mutex_init(&h->mutex, NULL);
  return h;
}

static void put_back(struct block* b) {
  if (!b->used || !b->dirty) return;
  uint64_t left = (uint64_t)disk_size - b->number * CHUNK;
  disk_lock();
  memcpy(disk + b->number * CHUNK, b->data, left < CHUNK ? left : CHUNK);
  disk_unlock();
  b->dirty = false;
}

/* Whole chunks of its own: connections do not see each other's writes, and one
 * takes back what another wrote beside its own.  Nobody said they would not. */
static struct block* cached(struct handle* h, uint64_t number) {
  for (unsigned i = 0; i < CACHE_BLOCKS; i++)
    if (h->cache[i].used && h->cache[i].number == number) return &h->cache[i];
  struct block* b = &h->cache[h->next++ % CACHE_BLOCKS];
  put_back(b);
  uint64_t left = (uint64_t)disk_size - number * CHUNK;
  disk_lock();
  memcpy(b->data, disk + number * CHUNK, left < CHUNK ? left : CHUNK);
  disk_unlock();
  b->number = number;
  b->used = true;
  return b;
}

static void empty_cache(struct handle* h) {
  pthread_mutex_lock(&h->mutex);
  for (unsigned i = 0; i < CACHE_BLOCKS; i++) {
    put_back(&h->cache[i]);
    h->cache[i].used = false;
  }
  pthread_mutex_unlock(&h->mutex);
}

static void concurrent_close(void* handle) {
  struct handle* h = handle;
  empty_cache(h);
  pthread_mutex_destroy(&h->mutex);
  free(h);
}

static int concurrent_can_multi_conn(void* handle) {
  (void)handle;
  return !mode("handle-cache");
}

/* Bytes of one word are changed with compare and exchange. */
static void change_word(uint64_t at, const uint8_t* from, uint32_t begin, uint32_t length) {
  uint64_t before = atomic_load(&words[at]), after;
  do {
    after = before;
    memcpy((uint8_t*)&after + begin, from, length);
  } while (!atomic_compare_exchange_weak(&words[at], &before, after));
}

static void transfer(struct handle* h, uint8_t* to, const uint8_t* from, uint32_t count,
                     uint64_t offset) {
  uint32_t unit = mode("lock-free") ? 8 : mode("sectors") ? SECTOR : CHUNK;
  while (count > 0) {
    uint32_t n = piece_of(offset, count, unit);
    uint64_t number = offset / unit;
    if (mode("lock-free")) {
      if (from) {
        change_word(number, from, (uint32_t)(offset % 8), n);
      } else {
        uint64_t word = atomic_load(&words[number]);
        memcpy(to, (uint8_t*)&word + offset % 8, n);
      }
    } else if (mode("handle-cache")) {
      pthread_mutex_lock(&h->mutex);
      struct block* b = cached(h, number);
      if (from) {
        memcpy(b->data + offset % CHUNK, from, n);
        b->dirty = true;
      } else {
        memcpy(to, b->data + offset % CHUNK, n);
      }
      pthread_mutex_unlock(&h->mutex);
    } else {
      pthread_mutex_lock(&stripes[number % STRIPES]);
      memcpy(from ? disk + offset : to, from ? from : disk + offset, n);
      pthread_mutex_unlock(&stripes[number % STRIPES]);
    }
    if (from) from += n;
    if (to) to += n;
    offset += n;
    count -= n;
  }
}

static void access_disk(void* handle, uint8_t* to, const uint8_t* from, uint32_t count,
                        uint64_t offset) {
  if (mode("copy")) { /* no lock at all: bytes of one or the other */
    memcpy(from ? disk + offset : to, from ? from : disk + offset, count);
  } else if (mode("reader-writer")) {
    if (from)
      pthread_rwlock_wrlock(&rwlock);
    else
      pthread_rwlock_rdlock(&rwlock);
    memcpy(from ? disk + offset : to, from ? from : disk + offset, count);
    pthread_rwlock_unlock(&rwlock);
  } else if (mode("write-back")) {
    pthread_mutex_lock(&write_back_mutex);
    memcpy(from ? disk + offset : to, from ? from : disk + offset, count);
    for (uint64_t c = offset / CHUNK; from && c <= (offset + count - 1) / CHUNK; c++)
      dirty[c] = true;
    pthread_mutex_unlock(&write_back_mutex);
  } else {
    transfer(handle, to, from, count, offset);
  }
}

static int concurrent_pread(void* handle, void* buf, uint32_t count, uint64_t offset,
                            uint32_t flags) {
  (void)flags;
  access_disk(handle, buf, NULL, count, offset);
  return 0;
}

static int concurrent_pwrite(void* handle, const void* buf, uint32_t count, uint64_t offset,
                             uint32_t flags) {
  (void)flags;
  access_disk(handle, NULL, buf, count, offset);
  return 0;
}

static int concurrent_flush(void* handle, uint32_t flags) {
  (void)flags;
  empty_cache(handle);
  return 0;
}

static struct nbdkit_plugin plugin = {
    .name = "legal-concurrent",
    .version = "1",
    .description = "a disk that serves in parallel, in the way mode= says",
    .config = disk_config,
    .config_help = DISK_CONFIG_HELP,
    .get_ready = concurrent_get_ready,
    .after_fork = concurrent_after_fork,
    .cleanup = stop_writer,
    .unload = concurrent_unload,
    .open = concurrent_open,
    .close = concurrent_close,
    .get_size = disk_get_size,
    .can_multi_conn = concurrent_can_multi_conn,
    .pread = concurrent_pread,
    .pwrite = concurrent_pwrite,
    .flush = concurrent_flush,
    .errno_is_preserved = 1,
};

NBDKIT_REGISTER_PLUGIN(plugin)
